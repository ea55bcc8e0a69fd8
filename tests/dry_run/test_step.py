"""A dry run notices mistakes that show on a GPU only, and names their lines."""

import pytest
import torch
import torch.distributed as torch_dist
from helpers import buggy_model
from helpers.buggy_model import ERRORS, WAITS
from mmengine.config import Config
from torch import Tensor

from lewel_plugins.dry_run.errors import StepError
from lewel_plugins.dry_run.step import DryRun, StepRecord


def measure(bug: str = 'none', ranks: int = 2, **settings: object) -> StepRecord:
    return DryRun(Config(buggy_model.config(bug, **settings)), ranks).measure()


@pytest.mark.parametrize('bug', ERRORS)
def test_an_error_names_its_line(bug):
    with pytest.raises(StepError) as caught:
        measure(bug)
    assert ERRORS[bug] in caught.value.message and '\n' not in str(caught.value)
    assert caught.value.source == buggy_model.line_of(bug)
    assert f'# BUG: {bug}' in caught.value.code


@pytest.mark.parametrize('bug', WAITS)
def test_a_wait_names_its_line(bug):
    waits = dict(measure(bug).counters.waits)
    # The gradient of an indexed tensor is written at the same positions.
    backward = {(WAITS[bug], 'backward pass, IndexBackward0'): 1} if bug in ('mask', 'cpu_indices') else {}
    assert waits == {(WAITS[bug], buggy_model.line_of(bug)): 1, **backward}


def test_a_step_without_mistakes_has_no_waits():
    record = measure()
    assert not record.counters.waits and not record.unused and not record.low_precision_losses
    assert (record.batch, record.precision, record.views) == (8, 'bfloat16', [32])
    assert record.trainable == 3 * 16 * 9 + 16 + 16 * 8 + 8
    assert record.trainable_bytes == record.optimizer_state == 4 * record.trainable


def test_a_parameter_without_gradient_is_named():
    assert measure('unused').unused == ['extra.weight', 'extra.bias']


def test_a_loss_in_low_precision_is_named():
    assert measure('low_precision').low_precision_losses == ['loss']


def test_collectives_are_counted():
    kinds = [(x.kind, x.bytes) for x in measure(ranks=4).counters.collectives]
    assert kinds == [('all_gather', 4 * 8 * 8 * 4), ('all_reduce', 4 * 8 * 8 * 4)]  # forward and backward
    assert not measure(ranks=1).counters.collectives


def test_convolutions_and_products_have_their_work():
    kernels = measure(ranks=1).counters.kernels
    N, pixels = 8, 15 * 15
    convolution, product = 2 * N * pixels * 16 * 27, 2 * N * 16 * 8
    # Images need no gradient: weights only. Features do: input and weights.
    # The views are made in float32.
    assert sum(kernel.flop for kernel in kernels if kernel.precision == 'half') == 2 * convolution + 3 * product
    assert {k.precision for k in measure(amp=False).counters.kernels if k.flop} == {'tf32', 'float32'}


def test_a_dry_run_leaves_torch_as_it_was():
    before = [torch.Generator, Tensor.backward, torch_dist.all_reduce, torch._C._conv_determine_backend_memory_format]
    with pytest.raises(StepError):
        measure('strides')
    measure()
    after = [torch.Generator, Tensor.backward, torch_dist.all_reduce, torch._C._conv_determine_backend_memory_format]
    assert all(a is b for a, b in zip(before, after)) and not torch_dist.is_initialized()
    x = torch.ones(2, requires_grad=True)
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_memory_grows_with_the_batch_and_a_used_model_measures_as_a_new_one():
    run = DryRun(Config(buggy_model.config()), 2)
    small, large = run.measure(64), run.measure(128)
    assert large.activations > 1.8 * small.activations and large.peak > 1.8 * small.peak
    fresh = DryRun(Config(buggy_model.config(batch=128)), 2).measure()
    assert (large.peak, large.activations, large.weights) == (fresh.peak, fresh.activations, fresh.weights)


@pytest.mark.parametrize('parts', [2, 3])
def test_accumulation_adds_the_gradients_to_the_peak(parts):
    def run(parts):
        settings = buggy_model.config('unused')
        settings['optim_wrapper'].update(accumulative_counts=parts)
        return DryRun(Config(settings), 1)

    once, accumulated = run(1), run(parts)
    for batch in (64, 8):  # the state exists after the first, and no step is left half done
        one, record = once.measure(batch), accumulated.measure(batch)
        assert record == accumulated.measure(batch)
        assert (record.weights, record.optimizer_state) == (one.weights, one.optimizer_state)
        assert (record.unused, record.activations) == (one.unused, one.activations)
        # Sums of few gradients are alive where the peak is; each is rounded up to 512 bytes.
        assert one.peak < record.peak < one.peak + 2 * record.trainable_bytes + 6 * 512


def test_float16_with_a_scaler_waits_once_for_it():
    settings = buggy_model.config()
    settings['optim_wrapper'].update(dtype='float16', loss_scale='dynamic')
    record = DryRun(Config(settings), 1).measure()
    assert record.precision == 'float16'
    assert [kind for kind, _ in record.counters.waits] == ['read by the host']  # whether a gradient is infinite
