"""Ranks on hosts without a shared disk go on from the same checkpoint, or not at all."""

from pathlib import Path

import pytest
import torch
from helpers.ranks import on_ranks
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running import same_start, setup

pytestmark = pytest.mark.core


def start_on_rank(rank: int, folder: Path, names: list[str]) -> str | None:
    (folder / f'{rank}').mkdir(exist_ok=True)
    for name, epoch in (('epoch_3.pth', 3), ('epoch_2.pth', 2)):
        meta = dict(epoch=epoch, iter=40 * epoch, seed=1, time='a')
        torch.save(dict(state_dict={}, meta=meta), folder / f'{rank}' / name)
    runner = setup.PretrainRunner.__new__(setup.PretrainRunner)
    runner._distributed = True
    runner.cfg = Config(dict(work_dir=str(folder)))
    if names[rank]:
        runner.cfg.update(resume=True, load_from=str(folder / f'{rank}' / names[rank]))
    try:
        runner.setup_env({})
    except SetupError as error:
        return str(error)
    return None


def test_two_ranks_compare_their_checkpoints(tmp_path):
    assert on_ranks(2, tmp_path, start_on_rank, tmp_path, ['epoch_3.pth', 'epoch_3.pth']) == [None, None]
    texts = on_ranks(2, tmp_path, start_on_rank, tmp_path, ['epoch_3.pth', ''])
    assert texts == 2 * [
        'the ranks would not go on from the same checkpoint: rank 0 found epoch_3.pth of epoch 3, iteration 120; rank '
        '1 found no checkpoint; give all hosts the same files, or a --work-dir on a disk that they share'
    ]


def test_names_what_each_rank_has_found(monkeypatch):
    def starts(*values):
        monkeypatch.setattr(same_start, 'all_gather_object', lambda value: list(values))
        same_start.check_same_start(Config({}))

    starts(('found a', '1'), ('found a', '1'))
    with pytest.raises(SetupError, match='checkpoint: ranks 0 to 1 found a; ranks 2, 4 found b; rank 3 found c; give'):
        starts(('found a', '1'), ('found a', '1'), ('found b', '2'), ('found c', '3'), ('found b', '2'))
    with pytest.raises(
        SetupError, match=r'rank 0 found a \(1\); rank 1 found a \(2\); give'
    ):  # files of different runs
        starts(('found a', '1'), ('found a', '2'))
