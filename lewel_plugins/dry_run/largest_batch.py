"""The largest batch that fits."""

from .errors import StepError
from .gpus import needed_memory
from .step import DryRun, StepRecord

_MULTIPLE = 8  # batches that tensor cores like


def find_largest_batch(run: DryRun, record: StepRecord, memory: float) -> StepRecord | None:
    """Return a step with the largest batch per GPU that fits, a multiple of 8; None if not even 8 images fit.

    The need is linear in the batch, through two steps; a third step verifies the result. A model that does not accept
    the batch, such as a queue that must be a multiple of it, gets the next lower power of two.

    Args:
        run: The model on its fake GPU.
        record: Its step with any batch.
        memory: Bytes of a GPU.
    """
    other = run.measure(record.batch * 2)
    slope = (needed_memory(other) - needed_memory(record)) / record.batch
    room = memory - needed_memory(record) + slope * record.batch
    batch = int(room / slope) // _MULTIPLE * _MULTIPLE
    while batch >= _MULTIPLE:
        try:
            step = run.measure(batch)
        except StepError:
            batch = 1 << (batch - 1).bit_length() - 1
            continue
        if needed_memory(step) <= memory:
            return step
        batch -= _MULTIPLE
    return None
