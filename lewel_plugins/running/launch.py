"""torchrun with an exit status that tells a stop from a failure: ``python -m lewel_plugins.running.launch …``.

The arguments are those of torchrun, whose status is 1 whatever the ranks end with.
"""

import os
import signal

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from lewel_plugins.running.work_dir import STOPPED_STATUS


def main() -> None:
    """Run torchrun.

    If ranks were stopped after a checkpoint, the status is 75. If SIGTERM ended them before they could save one, it
    ends this process, too. If a rank has failed, the status is 1. The summary of torchrun does not have the reason and
    is left out: the end of a log is for what the ranks have printed.
    """
    try:
        torchrun()
    except ChildFailedError as error:
        statuses = {failure.exitcode for failure in error.failures.values()}
        if not statuses <= {STOPPED_STATUS, -signal.SIGTERM}:
            rank, first = error.get_first_failure()
            if first.exitcode < 0:  # it could print nothing itself
                raise SystemExit(f'error: rank {rank} was killed by {signal.Signals(-first.exitcode).name}') from None
            raise SystemExit(1) from None
        if STOPPED_STATUS in statuses:
            raise SystemExit(STOPPED_STATUS) from None
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
    main()
