"""Mistakes that a training on the pretended GPU must notice, and the lines that it must name.

It cannot notice

- what CUDA allows: a CPU tensor of one number, or CPU indices, of which only the wait shows;
- what a kernel does: its result, its memory and its time, sums in another order, cuDNN, flash attention, TF32;
- races: two streams, or memory of the host that changes before a copy that nobody waits for has ended;
- a tensor in bfloat16 that should be in float32, other than a loss;
- anything between ranks, because there is one.

State that a checkpoint lacks, and a generator that is not seeded, show in the result of a resume, without a line.
"""

from pathlib import Path

import pytest
import torch
from helpers import buggy_model, mutants
from helpers.buggy_model import ERRORS, WAITS
from helpers.mutants import MUTANTS, Mutant, mutated
from helpers.pretended_gpu.training import config, short_config, train
from helpers.pretraining import different, write_images
from mmengine.hooks import Hook

from lewel_plugins.dry_run.dispatch import DeviceError
from lewel_plugins.dry_run.kernels import DtypeError
from lewel_plugins.hooks import ReproducibilityHook
from lewel_plugins.models import KeyQueue, SMoG

OF_RANKS = ('strides', 'cpu_collective', 'gather_sizes')


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


def waits_of_buggy_model(bug: str, images: Path, work_dir: Path) -> dict[str, int]:
    """Return the waits of an iteration of ``BuggyModel``."""
    cfg = short_config('lewel_b', images, work_dir)
    cfg.model = dict(buggy_model.config(bug)['model'], data_preprocessor=cfg.model.data_preprocessor)
    cfg.default_hooks.pop('momentum_update')
    return train(cfg).steps[1].waits


@pytest.mark.parametrize('bug', [bug for bug in ERRORS if bug not in OF_RANKS])
def test_an_error_names_its_line(bug, images, tmp_path):
    with pytest.raises((DeviceError, DtypeError)) as caught:
        waits_of_buggy_model(bug, images, tmp_path)
    message = str(caught.value)
    assert message.startswith(ERRORS[bug]) and message.endswith(f' at {buggy_model.line_of(bug)}')


@pytest.mark.parametrize('bug', WAITS)
def test_a_wait_names_its_line(bug, images, tmp_path):
    # The gradient of an indexed tensor is written at the same positions.
    backward = {f'{WAITS[bug]}, backward pass, IndexBackward0': 1} if bug in ('mask', 'cpu_indices') else {}
    assert waits_of_buggy_model(bug, images, tmp_path) == {
        f'{WAITS[bug]}, {buggy_model.line_of(bug)}': 1,
        **backward,
    }


def test_a_model_without_mistakes_does_not_wait(images, tmp_path):
    assert not waits_of_buggy_model('none', images, tmp_path)


@pytest.mark.parametrize('mutant', [pytest.param(x, id=name) for name, x in MUTANTS.items() if not x.needs_ranks])
def test_a_mistake_in_a_method_is_noticed_and_its_line_is_named(mutant: Mutant, images, tmp_path):
    cfg = short_config(mutant.method, images, tmp_path)
    with mutated(mutant) as line:
        if mutant.error:
            with pytest.raises(DeviceError) as caught:
                train(cfg)
            message = str(caught.value)
            assert message.startswith(mutant.error) and message.endswith(f' at {line}')
            return
        step = train(cfg).steps[1]
    if mutant.is_low:
        assert step.low_precision_losses
    else:
        assert f'{mutant.wait}, {line}' in step.waits


class KeepsKeysOnCPU(Hook):
    """The queue's keys as an attribute, as if they had not been registered."""

    def before_train(self, runner):
        queue = runner.model.queue
        keys = queue.keys.cpu()
        del queue.keys
        queue.keys = keys


def test_a_tensor_that_is_no_buffer_is_noticed_where_it_is_used(images, tmp_path):
    with pytest.raises(DeviceError, match=r'of tensors on cuda:0 and cpu at lewel_plugins/functional/_fused.py:\d+$'):
        train(short_config('lewel_m', images, tmp_path), hooks=[KeepsKeysOnCPU()])


class AddsBuffer(Hook):
    """A buffer that is registered after the model has moved to the GPU."""

    def before_train(self, runner):
        runner.model.register_buffer('late', torch.zeros(3))


def test_a_buffer_on_the_cpu_is_named(images, tmp_path):
    assert train(short_config('lewel_m', images, tmp_path), hooks=[AddsBuffer()]).on_cpu == ['late']


def difference_after_resume(method: str, images: Path, folder: Path) -> list[str]:
    """Return where a resumed training differs from one without a break."""
    cfgs = [config(method, images, folder / name) for name in ('straight', 'resumed')]
    for cfg in cfgs:
        for hook in cfg.custom_hooks:
            if hook['type'] == 'lewel_plugins.SMoGResetHook':
                hook.update(interval=4)  # so that features for the reset at 8 are in the checkpoint of 6
    expected = train(cfgs[0])
    return different(train(cfgs[1], resume=folder / 'straight' / 'iter_6.pth').state, expected.state)


def test_a_queue_that_no_checkpoint_has_is_noticed(images, tmp_path, monkeypatch):
    build = KeyQueue.__init__

    def build_forgetful(self, *args, **kwargs):
        build(self, *args, **kwargs)
        self._non_persistent_buffers_set.add('keys')

    monkeypatch.setattr(KeyQueue, '__init__', build_forgetful)
    assert '/model/backbone.conv1.weight' in difference_after_resume('lewel_m', images, tmp_path)


def test_features_that_no_checkpoint_has_are_noticed(images, tmp_path, monkeypatch):
    monkeypatch.setattr(SMoG, 'load_rank_state', lambda self, states: None)
    assert '/model/head.groups.rows' in difference_after_resume('smog', images, tmp_path)


def test_a_generator_of_the_gpu_that_nobody_seeds_is_noticed(images, tmp_path):
    """On a CPU this mistake does not show."""
    mutant = mutants.Mutant(
        'lewel_b',
        ReproducibilityHook.before_train_iter,
        'torch.manual_seed(seed)',
        'torch.default_generator.manual_seed(seed)',
    )
    with mutated(mutant):
        assert '/model/backbone.conv1.weight' in difference_after_resume('lewel_b', images, tmp_path)
