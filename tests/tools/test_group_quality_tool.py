import json
import sys

import pytest
import torch
from helpers import tiny
from helpers.tool_runs import ROOT, run
from helpers.toy_runner import toy_config
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

TOOL = str(ROOT / 'tools' / 'analysis' / 'group_quality.py')
# custom_imports of a checkpoint are ignored, so the toy images must be registered before.
START = f'import runpy, sys, helpers.toy_runner; sys.argv = sys.argv[1:]; runpy.run_path({TOOL!r}, run_name="__main__")'


def write_checkpoint(path) -> None:
    """Write a checkpoint of an untrained SMoG for the toy images."""
    toy = toy_config('')
    toy.model = dict(
        type='lewel_plugins.SMoG',
        data_preprocessor=toy.model.data_preprocessor,
        backbone=toy.model.backbone,
        neck=tiny.smog_neck_config(in_channels=64),
        **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=4),
    )
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(Config(toy.to_dict()).model)
    torch.save(dict(meta=dict(cfg=toy.pretty_text), state_dict=model.state_dict()), path)


@pytest.mark.core
def test_measures_and_draws(tmp_path):
    write_checkpoint(tmp_path / 'a.pth')
    (tmp_path / '2026' / 'vis_data').mkdir(parents=True)
    records = [
        dict(lr=0.1, iter=i, step=i, groups_used=0.9, groups_agreement=0.1 * i, groups_quarter_information=1 / i)
        for i in range(1, 5)
    ]
    log = tmp_path / '2026' / 'vis_data' / 'scalars.json'
    log.write_text('\n'.join(map(json.dumps, records)))
    shown = run(
        *(
            sys.executable,
            '-c',
            START,
            TOOL,
            'a.pth',
            '--names',
            'ours',
            '--columns',
            '2',
            '--rows',
            '2',
            '--out',
            'quality',
        ),
        cwd=tmp_path,
    )
    assert shown.returncode == 0, shown.stdout
    assert '| ours | ' in shown.stdout
    numbers = json.loads((tmp_path / 'quality' / 'group_quality.json').read_text())
    assert numbers['num_classes'] == 4
    result = numbers['results']['ours']
    assert result['groups'] == 4 and 0 < result['share_used'] <= 1
    assert 0 <= result['entropy'] <= 1.39 and 0.25 <= result['largest_share'] <= 1
    for picture in ('entropy.png', 'groups_ours.png', 'resets.png'):
        assert (tmp_path / 'quality' / picture).stat().st_size > 5000


@pytest.mark.core
def test_a_checkpoint_without_a_log_has_no_curves(tmp_path):
    write_checkpoint(tmp_path / 'a.pth')
    shown = run(sys.executable, '-c', START, TOOL, 'a.pth', '--names', 'ours', cwd=tmp_path)
    assert shown.returncode == 0 and 'ours: no log of resets beside a.pth' in shown.stdout
    assert not (tmp_path / 'group_quality' / 'resets.png').exists()


def test_answers_to_bad_inputs(tmp_path):
    missing = run(sys.executable, TOOL, 'none.pth', cwd=tmp_path)
    assert missing.returncode == 1 and "error: checkpoint 'none.pth' does not exist" in missing.stdout
    names = run(sys.executable, TOOL, 'a.pth', 'b.pth', '--names', 'one', cwd=tmp_path)
    assert names.returncode == 2 and '2 checkpoints, but 1 --names' in names.stdout
