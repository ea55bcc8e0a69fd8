"""The time that a call of ``tools/compare.py`` may take."""

import time

_FULL = 600.0  # seconds; shorter limits have shorter margins in proportion
_END, _STOP, _START = 10.0, 40.0, 100.0  # seconds before the limit


class TimeLimit:
    """When to start no more subprocesses, to stop those that run, and to end those that have not stopped.

    A training that gets the signal to stop finishes its iteration and saves, and then the report is written. So the
    signal is sent 40 s before the limit, and what still runs 10 s before the limit is ended. With less than a minute
    until the signal nothing is started, because imports would take much of it. Limits below ten minutes have these
    margins in proportion.

    Args:
        seconds: Seconds from now; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        scale = 0.0 if seconds is None else min(1.0, seconds / _FULL)
        limit = float('inf') if seconds is None else time.monotonic() + seconds
        self._start, self._stop, self._end = (limit - scale * margin for margin in (_START, _STOP, _END))

    def may_start(self) -> bool:
        """Return whether there is time to start a subprocess."""
        return time.monotonic() < self._start

    def must_stop(self) -> bool:
        """Return whether subprocesses have to save and stop."""
        return time.monotonic() >= self._stop

    def is_over(self) -> bool:
        """Return whether subprocesses that still run have to be ended."""
        return time.monotonic() >= self._end
