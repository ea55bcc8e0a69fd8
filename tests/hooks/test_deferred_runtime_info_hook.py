import pytest
import torch
from helpers.toy_runner import toy_runner
from mmengine.hooks import Hook

from lewel_plugins.hooks import deferred_runtime_info_hook

pytestmark = pytest.mark.core
DEFERRED = dict(type='lewel_plugins.DeferredRuntimeInfoHook')


class _Count(Hook):
    """How many losses the message hub has after each iteration."""

    priority = 'LOW'

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        scalars = runner.message_hub.log_scalars
        self.lengths.append(len(scalars['train/loss'].data[0]) if 'train/loss' in scalars else 0)


class _Poison(Hook):
    """Make the weights NaN after an iteration."""

    priority = 'VERY_HIGH'

    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            with torch.no_grad():
                runner.model.backbone.conv1.weight.fill_(float('nan'))


def _runner(folder, **changes):
    return toy_runner(
        folder,
        max_iters=10,
        **{'default_hooks.logger.interval': 4, 'default_hooks.checkpoint.interval': 6, **changes},
    )


def _train(folder, **changes):
    """Train ten iterations, of which 4 and 8 are logged and 6 is saved; return the losses and when they were there."""
    runner, count = _runner(folder, **changes), _Count()
    runner.register_hook(count)
    runner.train()
    return runner.message_hub.get_scalar('train/loss').data[0].tolist(), count.lengths


@pytest.fixture
def gpu(monkeypatch):
    """Losses that seem to be on a GPU."""
    monkeypatch.setattr(deferred_runtime_info_hook, '_are_on_gpu', lambda losses: True)


def test_losses_on_a_gpu_are_read_where_they_are_needed(tmp_path, gpu):
    losses, lengths = _train(tmp_path / 'deferred', **{'default_hooks.runtime_info': DEFERRED})
    assert lengths == [0, 0, 0, 4, 4, 6, 6, 8, 8, 10]
    expected, lengths = _train(tmp_path / 'plain')
    assert lengths == list(range(1, 11))
    assert losses == expected


def test_losses_on_a_cpu_are_read_immediately(tmp_path):
    _, lengths = _train(tmp_path, **{'default_hooks.runtime_info': DEFERRED})
    assert lengths == list(range(1, 11))


def test_a_resume_within_an_epoch_reads_the_losses_at_its_end(tmp_path, gpu):
    """By then a checkpoint of the epoch is saved, which holds the message hub."""

    def train(resume: bool) -> tuple[list[float], list[int]]:
        changes = {
            'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2),
            'train_dataloader.sampler': dict(_delete_=True, type='lewel_plugins.SeededSampler'),
            'default_hooks.sampler_seed': dict(type='lewel_plugins.ReproducibilityHook'),
            'default_hooks.runtime_info': DEFERRED,
            'default_hooks.logger.interval': 100,
            'default_hooks.checkpoint.interval': 100 if resume else 1,
        }
        return _train(tmp_path / 'run', resume=resume, **changes)

    train(resume=False)
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'iter_2.pth'))
    losses, lengths = train(resume=True)
    assert len(losses) == 8 and lengths == [2, 4, 4, 4, 4, 8]


def test_a_bad_loss_stops_the_run_before_the_next_checkpoint(tmp_path, gpu):
    hooks = {
        'default_hooks.runtime_info': DEFERRED,
        'default_hooks.non_finite': dict(type='lewel_plugins.NonFiniteHook'),
    }
    runner = _runner(tmp_path, **hooks)
    runner.register_hook(_Poison(at=4))
    with pytest.raises(FloatingPointError, match='the loss is not finite at iteration 5: loss = nan'):
        runner.train()
    assert runner.iter + 1 == 6
    assert not list(tmp_path.glob('*.pth'))
