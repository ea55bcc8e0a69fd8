"""Room for a training: on the disk, in shared memory, in main memory."""

import os
import shutil

from lewel_plugins.api.preparation import Preparation
from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.training import check_writable
from lewel_plugins.errors import SetupError
from lewel_plugins.logs import without_log
from lewel_plugins.planning.findings import Finding, gigabytes

CHECKPOINTS = 4  # three are kept, and the next one is written before the oldest goes
_LOGS = 50e6  # bytes of logs, list and report
_STATES = dict(SGD=1, LARS=1, Adam=2, AdamW=2, LAMB=2)  # numbers that an optimizer keeps per weight
SHARED = '/dev/shm'


def checkpoint_bytes(preparation: Preparation) -> int:
    """Return the bytes of a checkpoint: weights and buffers, those of the teacher, and the optimizer's state.

    Raises:
        SetupError: The model cannot be built with the settings of the user.
    """
    from mmengine.registry import MODELS, DefaultScope

    from lewel_plugins.planning.compose import Images

    config = preparation.config(Images({}))
    settings = config.model.to_dict()
    settings['backbone'].pop('init_cfg', None)
    settings.setdefault('data_preprocessor', config.get('data_preprocessor'))
    with without_log(), DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmpretrain')):
        try:
            model = MODELS.build(settings)
        except Exception as error:  # as of --set model.head.x=1, from the registry or from the model
            text = ' '.join(str(error).split())[:500]
            raise SetupError(f'the model cannot be built: {type(error).__name__}: {text}') from None
    tensors = {tensor.data_ptr(): tensor for tensor in model.state_dict().values()}
    trainable = sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)
    state = _STATES.get(config.optim_wrapper.optimizer.type.split('.')[-1], 2)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) + state * trainable


def disk_bytes(preparation: Preparation) -> int:
    """Return the bytes of a run on the disk: those of its checkpoints, logs, lists and report.

    Raises:
        SetupError: See :func:`checkpoint_bytes`.
    """
    return int(CHECKPOINTS * checkpoint_bytes(preparation) + _LOGS)


def shared_bytes(preparation: Preparation) -> int:
    """Return the bytes of the batches that the workers of all ranks hold in shared memory: two for each worker."""
    plan = preparation.plan
    images = plan['batch_size'] // plan['accumulation']  # images of all ranks
    view = 3 * plan['image_size'] ** 2
    return plan['workers'] * 2 * images * plan.method.num_views * view


def disk_findings(needed: int, out: str | os.PathLike | None) -> list[Finding]:
    """Compare what a run needs with what is free where it is written.

    Args:
        needed: Bytes.
        out: Folder of the run, which need not exist; the current folder by default.
    """
    try:
        check_writable(RunFolder(os.getcwd() if out is None else out), needed)
    except SetupError as error:
        return [Finding('error', 'disk', str(error))]
    return []


def shared_findings(needed: int, workers: int, folder: str = SHARED) -> list[Finding]:
    """Compare what workers need with what is free in shared memory, where the system has it.

    Args:
        needed: Bytes.
        workers: Workers of a rank.
        folder: Where it is mounted.
    """
    if not workers or not os.path.isdir(folder):
        return []
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return []
    fewer = int(workers * free // needed)
    text = (
        f'{workers} workers need {gigabytes(needed)} in {folder}, but {gigabytes(free)} are free; use --workers {fewer}'
        ', or start the container with a larger --shm-size'
    )
    return [Finding('error', 'shm', text)]


def memory_findings(needed: int, total: int) -> list[Finding]:
    """Compare what a run needs of the main memory with what this process may use.

    Args:
        needed: Bytes.
        total: Bytes; 0 if unknown.
    """
    if not total or needed <= total:
        return []
    text = f'this run needs about {gigabytes(needed)} of main memory, but there are {gigabytes(total)}'
    return [Finding('warning', 'memory', text)]
