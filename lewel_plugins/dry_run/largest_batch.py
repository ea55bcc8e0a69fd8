"""The largest batch that fits."""

from contextlib import suppress

from .errors import StepError
from .gpus import needed_memory
from .step import DryRun, StepRecord

_MULTIPLE = 8  # batches that tensor cores like


def find_largest_batch(run: DryRun, record: StepRecord, memory: float) -> StepRecord | None:
    """Return a step with the largest batch per GPU that fits, a multiple of 8; None if not even 8 images fit.

    The need is linear in the batch, through two steps; a third step verifies the result. A model that does not accept
    the batch, such as a queue that must be a multiple of it, gets the next lower power of two, but nothing below the
    batch of ``record`` if that fits.

    Args:
        run: The model on its fake GPU.
        record: Its step with any batch.
        memory: Bytes of a GPU.
    """
    own = record if needed_memory(record) <= memory else None
    other = _another_step(run, record.batch)
    if other is None:
        return own
    slope = (needed_memory(other) - needed_memory(record)) / (other.batch - record.batch)
    room = memory - needed_memory(record) + slope * record.batch
    batch = int(room / slope)
    if other.batch < record.batch:
        batch = min(batch, 2 * record.batch - 1)  # as it does not accept twice the batch
    batch = batch // _MULTIPLE * _MULTIPLE
    while batch >= _MULTIPLE:
        try:
            step = run.measure(batch)
        except StepError:
            batch = 1 << (batch - 1).bit_length() - 1
            if own and batch <= own.batch:
                return own
            continue
        if needed_memory(step) <= memory:
            return step
        batch -= _MULTIPLE
    return None


def _another_step(run: DryRun, batch: int) -> StepRecord | None:
    """Return a step with twice the batch, or half if the model does not accept it; None if it accepts neither."""
    for other in (batch * 2, batch // 2):
        if other:
            with suppress(StepError):
                return run.measure(other)
    return None
