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


@pytest.mark.core
def test_a_time_limit_stops_and_a_resume_goes_on(tmp_path):
    atomic = {'default_hooks.checkpoint.type': 'lewel_plugins.AtomicCheckpointHook'}
    config = write_config(tmp_path / 'toy.py', **{'train_cfg.max_iters': 3}, **atomic)
    command = (sys.executable, TRAIN, config, '--work-dir', 'run')
    stopped = run(*command, '--max-minutes', '0.0001', cwd=tmp_path)
    assert stopped.returncode == 75, stopped.stdout[-4000:]
    assert 'Stopped at iteration 1 by the limit of 0.0001 minutes, saved as' in stopped.stdout
    assert 'Traceback' not in stopped.stdout
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('stopped.pth')
    ended = run(*command, '--resume', cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert 'resumed epoch: 0, iter: 1' in ended.stdout
    assert not (tmp_path / 'run' / 'stopped.pth').exists()


class _Hostile:
    def __reduce__(self):
        return print, ('THE CODE OF THE FILE RAN',)


@pytest.mark.core
def test_no_code_of_a_checkpoint_runs(tmp_path):
    config = write_config(tmp_path / 'toy.py', **{'train_cfg.max_iters': 1})
    command = (sys.executable, TRAIN, config, '--no-validate')
    assert run(*command, '--work-dir', 'run', cwd=tmp_path).returncode == 0
    checkpoint = torch.load(tmp_path / 'run' / 'iter_1.pth', weights_only=False)
    longer = ('--cfg-options', 'train_cfg.max_iters=2')

    checkpoint['meta']['config'] = "print('THE CODE OF THE FILE RAN')"
    torch.save(checkpoint, tmp_path / 'config.pth')
    resumed = run(*command, '--work-dir', 'run', '--resume', 'config.pth', *longer, cwd=tmp_path)
    assert resumed.returncode == 0 and 'THE CODE' not in resumed.stdout, resumed.stdout[-4000:]

    checkpoint['meta']['object'] = _Hostile()
    torch.save(checkpoint, tmp_path / 'hostile.pth')
    refused = run(*command, '--work-dir', 'run', '--resume', 'hostile.pth', *longer, cwd=tmp_path)
    assert refused.returncode == 1 and 'THE CODE' not in refused.stdout
    assert 'error: hostile.pth holds an object of the type __builtin__.print' in refused.stdout
    trusted = run(*command, '--work-dir', 'run', '--resume', 'hostile.pth', '--trust', *longer, cwd=tmp_path)
    assert trusted.returncode == 0 and 'THE CODE' in trusted.stdout

    tested = run(sys.executable, TEST, config, 'hostile.pth', cwd=tmp_path)
    started = run(*command, '--work-dir', 'new', '--cfg-options', 'load_from=hostile.pth', cwd=tmp_path)
    for result in (tested, started):
        assert result.returncode == 0 and 'THE CODE' not in result.stdout, result.stdout[-4000:]


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
