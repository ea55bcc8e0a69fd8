"""tools/train.py and tools/test.py in processes of their own, as users call them."""

import json
import sys

import pytest
import torch
from helpers.tool_runs import TEST, TRAIN, run, write_config


@pytest.mark.core
def test_train_resume_and_test(tmp_path):
    config = write_config(tmp_path / 'toy.py')
    command = (sys.executable, TRAIN, config)

    first = run(*command, '--resume', '--amp', cwd=tmp_path)
    assert first.returncode == 0, first.stdout[-4000:]
    assert 'no checkpoint in ./work_dirs/toy, starting fresh' in first.stdout
    assert first.stdout.count('training in float32 instead of mixed precision') == 1
    work_dir = tmp_path / 'work_dirs' / 'toy'
    assert (work_dir / 'last_checkpoint').read_text().endswith('iter_2.pth')

    second = run(*command, '--resume', '--cfg-options', 'train_cfg.max_iters=3', 'randomness.seed=7', cwd=tmp_path)
    assert second.returncode == 0, second.stdout[-4000:]
    assert 'resuming with seed 0 of' in second.stdout
    assert 'resumed epoch: 0, iter: 2' in second.stdout
    assert 'Iter(train) [3/3]' in second.stdout and 'Iter(train) [2/3]' not in second.stdout
    assert torch.load(work_dir / 'iter_3.pth', weights_only=False)['meta']['seed'] == 0

    metrics = tmp_path / 'metrics.json'
    checkpoint = str(work_dir / 'iter_3.pth')
    tested = run(sys.executable, TEST, config, checkpoint, '--out', str(metrics), cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout[-4000:]
    assert 0 <= json.loads(metrics.read_text())['knn/top1'] <= 100

    # With a checkpoint of another model, mmengine would warn, and train or test random weights.
    wider = ('--cfg-options', 'model.neck.hid_channels=40')
    for refused in (
        run(*command, '--resume', checkpoint, *wider, cwd=tmp_path),
        run(sys.executable, TEST, config, checkpoint, *wider, cwd=tmp_path),
    ):
        assert refused.returncode == 1, refused.stdout
        last = refused.stdout.strip().splitlines()[-1]
        assert last.startswith(f"error: {checkpoint} does not fit the config's model"), last
        assert 'with another shape (neck.fc0.weight (' in last


def test_resume_without_a_work_dir_stays_with_the_checkpoint(tmp_path):
    config = write_config(tmp_path / 'toy.py', **{'train_cfg.max_iters': 1})
    run(sys.executable, TRAIN, config, '--work-dir', 'runs/a', '--no-validate', cwd=tmp_path)
    more = ('--cfg-options', 'train_cfg.max_iters=2')
    again = run(sys.executable, TRAIN, config, '--resume', 'runs/a/iter_1.pth', *more, cwd=tmp_path)
    assert again.returncode == 0, again.stdout[-4000:]
    assert (tmp_path / 'runs' / 'a' / 'iter_2.pth').is_file()
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['toyy.py'], "error: config 'toyy.py' does not exist. Did you mean toy.py?"),
        (['toy.py', '--resume', 'none.pth'], "error: checkpoint 'none.pth' does not exist"),
        (['toy.py', '--auto-scale-lr'], 'error: --auto-scale-lr needs'),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, message):
    write_config(tmp_path / 'toy.py')
    result = run(sys.executable, TRAIN, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout
    assert message in result.stdout.strip().splitlines()[-1]
    assert not (tmp_path / 'work_dirs').exists()


def test_unknown_type_is_named_in_the_last_line(tmp_path):
    config = write_config(tmp_path / 'toy.py', **{'model.backbone.type': 'ResNet_CIFAAR'})
    result = run(sys.executable, TRAIN, config, cwd=tmp_path)
    assert result.returncode == 1
    assert 'ResNet_CIFAAR is not in the' in result.stdout.strip().splitlines()[-1]
