"""Stop a training when the program that has started it ends, in whatever way."""

import os
import select
import signal
import threading
import time
from collections.abc import Mapping

_LOOK = 1.0  # seconds between looks at the parent
_LAUNCHED = 'TORCHELASTIC_RUN_ID'  # torchrun sets it in its ranks


def stop_at_end_of_input(environment: Mapping[str, str] = os.environ) -> None:
    """Send this process SIGTERM when its standard input ends, on which a training saves and stops.

    The other end of the input is held by the program that has started the training, so that the input also ends when
    that program is killed. All ranks of torchrun inherit the input. A rank whose torchrun is gone stops as well: with
    a checkpoint, or at once if it was to stop before.

    Args:
        environment: Environment variables of this process.
    """
    parent = os.getppid() if _LAUNCHED in environment else None
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int | None) -> None:
    def is_orphan() -> bool:
        return parent is not None and os.getppid() != parent

    # By the descriptor, because sys.stdin has a lock, which workers of a loader would inherit.
    while not _has_ended(0) and not is_orphan():
        pass
    was_to_stop = not is_orphan()
    os.kill(os.getpid(), signal.SIGTERM)
    while was_to_stop:
        if is_orphan():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(_LOOK)


def _has_ended(descriptor: int) -> bool:
    """Wait for input, but not long; return whether there will be none."""
    readable, _, _ = select.select([descriptor], [], [], _LOOK)
    return bool(readable) and not os.read(descriptor, 1024)
