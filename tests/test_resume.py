"""A run that is killed after its checkpoint at 6 and resumed equals 12 iterations without a break, bit for bit."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch.multiprocessing as mp
from helpers.pretraining import ITERATIONS, Run, different, journal, logged, pretrain, pretrain_in_pieces, write_images
from helpers.ranks import on_ranks

pytestmark = pytest.mark.core

CASES = [
    Run('lewel_b', images=24, workers=2, alignment='random'),  # the checkpoint is at the end of an epoch
    Run('lewel_b', images=22),  # likewise, and the last batch of an epoch is not full
    # Six iterations of 22 images would end within the second step; four are a whole one. Checkpoints at epochs' ends.
    Run('lewel_b', images=22, accumulate=4, step=16, save=4),
    Run('lewel_b', loop='iter', workers=2),
    Run('lewel_b', ranks=2, images=24, workers=2),
    Run('lewel_b', ranks=2, loop='iter', views='device'),
    Run('lewel_m', workers=2, continuous=True),
    Run('lewel_m', loop='iter', images=24, workers=2),
    Run('lewel_m', ranks=2),
    Run('lewel_m', ranks=2, loop='iter', images=24, workers=2, alignment='random'),
    # The checkpoint at 6 comes while features for the reset at 8 are cached, or just after a reset.
    Run('smog', reset=4, images=22),  # the last batch of an epoch is not full
    Run('smog', loop='iter', views='device', workers=2),
    Run('smog', ranks=2, reset=4, loop='iter', workers=2),
    Run('smog', ranks=2, images=24),
    Run('smog', ranks=2, reset=4, window=3),  # the checkpoint comes in the middle of the window
    Run('smog', reset=4, window=2),  # before the window
    Run('smog', reset=2, accumulate=2),  # interval and roles follow optimizer steps
    Run('msbreg', workers=2),
    Run('msbreg', ranks=2, loop='iter', images=24, views='device'),
    Run('lewel_b', ranks=2, regularized=True),
    Run('mpcl_moco', workers=2),  # the checkpoint is in the middle of an epoch of PTB
    Run('mpcl_moco', ranks=2, loop='iter'),
    Run('mpcl_moco_v3', ranks=2),
    Run('mpcl_moco_v3', images=24),  # the checkpoint is at the end of an epoch of PTB
    Run('mpcl_barlow_twins', loop='iter'),
]


def name(run: Run) -> str:
    """Return the settings that differ from the defaults."""
    settings = dataclasses.asdict(run)
    return '-'.join(str(v) if k == 'method' else f'{k}={v}' for k, v in settings.items() if v != getattr(Run, k, None))


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


def train(run: Run, images: Path, work_dir: Path, *args: object) -> list[dict]:
    """Pretrain, and return the result of every rank."""
    return on_ranks(run.ranks, work_dir.parent, pretrain, run, images, work_dir, *args)


def forget_statistics_of_the_teacher(*results: dict) -> None:
    """Nothing reads running statistics of a teacher in training mode; the checkpoint has those of rank 0."""
    for result in results:
        for key in [key for key in result['state'] if key.startswith('teacher.') and 'running' in key]:
            del result['state'][key]


@pytest.mark.sampled(3)
@pytest.mark.parametrize('run', CASES, ids=name)
def test_killed_and_resumed_is_the_same_bit_for_bit(run, images, tmp_path):
    # The run without a break loads in the main process, so that the number of workers must not count either.
    expected = train(dataclasses.replace(run, workers=0), images, tmp_path / 'straight')
    with pytest.raises(mp.ProcessExitedException, match='SIGKILL|SIGTERM'):
        train(run, images, tmp_path / 'killed', False, 7)
    assert max(journal(tmp_path / 'killed', 0)) == 7
    resumed = train(run, images, tmp_path / 'killed', True)
    assert ('head.balance.weights' in expected[0]['state']) == run.method.startswith('mpcl')
    for rank, (ours, theirs) in enumerate(zip(resumed, expected)):
        assert ours['iterations'] == theirs['iterations'] == ITERATIONS
        if rank:
            forget_statistics_of_the_teacher(ours, theirs)
        assert different(ours, theirs) == []
        losses = journal(tmp_path / 'killed', rank)
        assert sorted(losses) == list(range(1, ITERATIONS + 1))
        assert losses == journal(tmp_path / 'straight', rank)
    assert logged(tmp_path / 'killed') == logged(tmp_path / 'straight')
    assert len(logged(tmp_path / 'straight')) == ITERATIONS
    if run.method.startswith('mpcl'):  # PTB has changed the weights; that they end equal depends on the processor
        (log,) = (tmp_path / 'straight').glob('*/*.log')
        weights = re.findall(r'next weights ([\d., ]+);', log.read_text())
        assert any(len(set(values.split(', '))) > 1 for values in weights)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    'run',
    [
        *(Run(method) for method in ('lewel_b', 'lewel_m', 'smog', 'msbreg')),
        *(Run(method) for method in ('mpcl_moco', 'mpcl_moco_v3', 'mpcl_barlow_twins')),
        Run('lewel_m', loop='iter'),
        Run('smog', accumulate=2, reset=2),
        Run('lewel_b', ranks=2),
        Run('smog', ranks=2, reset=4, window=3),
        Run('mpcl_moco', ranks=2),
    ],
    ids=name,
)
def test_stopped_anywhere_and_resumed_is_the_same_bit_for_bit(run, images, tmp_path):
    """A signal stops a run in each iteration, one after the other: within an epoch, at its end, before a reset."""
    expected = train(run, images, tmp_path / 'straight')
    resumed = on_ranks(run.ranks, tmp_path, pretrain_in_pieces, run, images, tmp_path / 'stopped')
    step = 2 if run.ranks > 1 or run.accumulate > 1 else 1
    for rank, (ours, theirs) in enumerate(zip(resumed, expected)):
        assert ours.pop('stops') == list(range(step, ITERATIONS + 1, step))
        if rank:
            forget_statistics_of_the_teacher(ours, theirs)
        assert different(ours, theirs) == []
        assert journal(tmp_path / 'stopped', rank) == journal(tmp_path / 'straight', rank)
    assert logged(tmp_path / 'stopped') == logged(tmp_path / 'straight')


@pytest.mark.parametrize(
    'run', [Run('lewel_b', workers=2), Run('lewel_m', loop='iter', views='device'), Run('smog')], ids=name
)
def test_validation_changes_nothing(run, images, tmp_path):
    """Validation draws random numbers, and switches BN and an ``eman`` teacher to another mode and back."""
    expected = train(run, images, tmp_path / 'straight')
    ours = train(dataclasses.replace(run, validate=True), images, tmp_path / 'validated')
    assert len(list((tmp_path / 'validated').glob('*/vis_data/scalars.json'))) == 1
    assert 'knn' in next((tmp_path / 'validated').glob('*/vis_data/scalars.json')).read_text()
    assert different(ours, expected) == []
    assert journal(tmp_path / 'validated', 0) == journal(tmp_path / 'straight', 0)


def test_teacher_moves_once_per_optimizer_step_with_accumulation(images, tmp_path):
    (result,) = train(Run('lewel_b', accumulate=2), images, tmp_path / 'straight')
    assert result['iterations'] == ITERATIONS
    assert result['state']['teacher.updates'].item() == ITERATIONS / 2


def test_another_seed_is_another_run(images, tmp_path):
    """The comparisons above can fail."""
    first = train(Run('lewel_b'), images, tmp_path / 'straight')
    second = train(Run('lewel_b', seed=1), images, tmp_path / 'other')
    assert different(first, second)
    assert journal(tmp_path / 'other', 0) != journal(tmp_path / 'straight', 0)
