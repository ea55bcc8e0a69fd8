"""Run the main function of a command, and end its process in order, as one of several ranks, too.

No command runs code of a checkpoint.
"""

import atexit
import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import torch
from torch import distributed

from lewel_plugins.checkpoints import confine_torch_load
from lewel_plugins.errors import SetupError

from .lost_workers import end_hanging, lost_worker

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_main(main: Callable[[], object], *errors: type[Exception]) -> NoReturn:
    """Run ``main`` and exit: with 0, or with 1 and one line for an error that the user can mend.

    ``torch.load`` runs no code of files in it.

    Args:
        main: The command; its return value counts as exit status if it is an int.
        errors: Errors that are one line, besides :class:`SetupError`, a full disk, and a lost worker of a data loader.
    """
    confine_torch_load()
    try:
        result = main()
        status: object = result if isinstance(result, int) else 0
    except (SystemExit, KeyboardInterrupt, Exception) as error:
        lost = lost_worker(error)
        if lost is not None:
            end_hanging(lost)
            status = f'error: {lost}'
        elif isinstance(error, (SetupError, *errors)) or getattr(error, 'errno', None) in _NO_SPACE:
            status = f'error: {error}'
        elif not _is_rank():
            raise
        elif isinstance(error, SystemExit):
            status = 0 if error.code is None else error.code
        else:
            traceback.print_exc()
            status = 1
    if _is_rank():
        _leave_group(status)
    raise SystemExit(status)


def _is_rank() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _leave_group(status: object) -> NoReturn:
    """End the process of a rank without the destructors of its process group.

    A thread of gloo that still runs when the interpreter shuts down aborts the process now and then ("terminate called
    without an active exception", exit status −6). After an error the other ranks may be waiting for this one, so the
    process must also not wait for them.
    """
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    # In torch 2.1 this sometimes waits forever for a thread of gloo that waits for the interpreter.
    if status == 0 and tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 4):
        distributed.destroy_process_group()
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that write logs, as the interpreter does
    atexit._run_exitfuncs()  # loggers, visualizers, and workers of data loaders
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
