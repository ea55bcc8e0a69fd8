"""Need of memory, largest batch, and images per second."""

from dataclasses import replace

import pytest
from helpers import buggy_model
from mmengine.config import Config

from lewel_plugins.dry_run.counters import Collective, Counters, Kernel
from lewel_plugins.dry_run.errors import StepError
from lewel_plugins.dry_run.gpus import GPUS, find_gpu, images_per_second, needed_memory
from lewel_plugins.dry_run.largest_batch import find_largest_batch
from lewel_plugins.dry_run.step import DryRun, StepRecord
from lewel_plugins.errors import SetupError

GIB = 2**30
RECORD = StepRecord(
    world_size=8,
    batch=100,
    views=[224],
    precision='bfloat16',
    trainable=25 * 2**20,
    trainable_bytes=100 * 2**20,
    unused=[],
    low_precision_losses=[],
    counters=Counters(),
    weights=0,
    optimizer_state=0,
    activations=0,
    peak=10 * GIB,
)


def record(kernels: list[Kernel], collectives: tuple[Collective, ...] = (), ranks: int = 1) -> StepRecord:
    return replace(RECORD, world_size=ranks, counters=Counters(kernels=kernels, collectives=list(collectives)))


def test_need_is_the_peak_with_a_margin_the_buckets_and_the_context():
    assert needed_memory(RECORD) == pytest.approx(11 * GIB + 100 * 2**20 + 2 * GIB)
    assert needed_memory(replace(RECORD, world_size=1)) == pytest.approx(13 * GIB)


def test_kernels_take_the_time_of_their_work_or_of_their_bytes():
    gpu = GPUS['a100-80gb']
    slow, fast = images_per_second(record([Kernel(10**14, 0, 'half')]), gpu)
    assert (slow, fast) == (pytest.approx(100 / (100 / 312 / 0.25)), pytest.approx(100 / (100 / 312 / 0.6)))
    slow, fast = images_per_second(record([Kernel(10**6, 10**12, 'half')]), gpu)
    assert (slow, fast) == (pytest.approx(100 / (1000 / 2039 / 0.6)), pytest.approx(100 / (1000 / 2039 / 0.9)))
    slow, fast = images_per_second(record([Kernel(10**14, 0, 'tf32'), Kernel(10**13, 0, 'float32')]), gpu)
    assert fast == pytest.approx(100 / (100 / 156 / 0.6 + 10 / 19.5 / 0.6))


def test_launches_bound_a_step_of_small_kernels():
    slow, fast = images_per_second(record([Kernel(0, 8, 'half')] * 1000), GPUS['h100'])
    assert (slow, fast) == (pytest.approx(100 / 10e-3), pytest.approx(100 / 5e-3))


def test_collectives_add_to_the_slow_end_and_may_bound_the_fast_end():
    kernels = [Kernel(0, 0, 'half')] * 1000  # 5 to 10 ms
    gradients = 2 * 100 * 2**20 * 7 / 8  # 4 buckets of 25 MiB
    slow, fast = images_per_second(record(kernels, ranks=8), GPUS['h100'])
    assert slow == pytest.approx(800 / (10e-3 + gradients / 100e9 + 4 * 40e-6))
    assert fast == pytest.approx(800 / 5e-3)
    gather = (Collective('all_gather', 8 * 10**9),)
    slow, fast = images_per_second(record(kernels, gather, ranks=8), GPUS['h100'])
    assert fast == pytest.approx(800 / ((gradients + 7e9) / 300e9 + 5 * 15e-6))
    two_nodes = images_per_second(record(kernels, gather, ranks=16), GPUS['h100'])
    assert two_nodes[1] < fast / 2  # though there are twice as many GPUs


def test_the_largest_batch_is_the_last_that_fits():
    run = DryRun(Config(buggy_model.config()), 2)
    memory = needed_memory(run.measure(1203))
    largest = find_largest_batch(run, run.measure(), memory)
    assert largest.batch == 1200
    assert needed_memory(run.measure(1208)) > memory >= needed_memory(largest)
    assert find_largest_batch(run, run.measure(), 1e9) is None


def test_a_batch_that_the_model_refuses_becomes_a_power_of_two():
    run = DryRun(Config(buggy_model.config()), 2)
    measure = run.measure

    def refuse(batch=None):
        try:
            assert batch & (batch - 1) == 0
        except AssertionError as error:
            raise StepError(error) from error
        return measure(batch)

    run.measure = refuse
    assert find_largest_batch(run, measure(), needed_memory(measure(1200))).batch == 1024


@pytest.mark.parametrize(('most', 'expected'), [(64, 64), (100, 64), (128, 128)])
def test_a_model_that_refuses_twice_the_batch_keeps_its_own(most, expected):
    """As a queue does that is as long as the batch of all ranks."""
    run = DryRun(Config(buggy_model.config()), 2)
    measure, batches = run.measure, []

    def refuse(batch):
        batches.append(batch)
        try:
            assert batch <= most
        except AssertionError as error:
            raise StepError(error) from error
        return measure(batch)

    run.measure = refuse
    memory = needed_memory(measure(1200))
    assert find_largest_batch(run, measure(64), memory).batch == expected
    assert batches[0] == 128 and (32 in batches) == (most < 128) and (len(batches) <= 3 or most == 128)
    assert find_largest_batch(run, measure(64), 1e9) is None


def test_the_given_batch_stays_if_the_model_refuses_all_others():
    run = DryRun(Config(buggy_model.config()), 2)
    record = run.measure(12)

    def refuse(batch):
        try:
            raise ValueError('no')
        except ValueError as error:
            raise StepError(error) from error

    run.measure = refuse
    assert find_largest_batch(run, record, needed_memory(record)) is record
    assert find_largest_batch(run, record, needed_memory(record) - 1) is None


def test_the_memory_of_an_l40s_is_that_of_its_48_gb():
    assert 44 < GPUS['l40s'].memory <= 46_068 / 1024  # MiB that CUDA reports


def test_an_unknown_gpu_is_one_line_with_the_known_ones():
    with pytest.raises(SetupError, match=r"--gpu 'tpu' is not known: choose one of a100-40gb, .*rtx-3090$"):
        find_gpu('tpu')
