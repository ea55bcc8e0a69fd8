"""Put this folder on the path, so that every test can import ``helpers``, and start every file alike."""

import logging
import os
import signal
import time
from collections import Counter, OrderedDict
from importlib.metadata import version
from typing import NoReturn

# With AVX-512, oneDNN of torch 2.11 ends the process in the weight gradient of small 1 × 1 convolutions, as from 8 to
# 16 channels with stride 2 at 48 × 48 pixels in channels_last. It reads this before its first convolution. Networks of
# common widths, from 16 channels, did not show it. oneDNN of torch 2.1 has no bfloat16 with AVX2, and does not end.
if not version('torch').startswith('2.1.'):
    os.environ.setdefault('ONEDNN_MAX_CPU_ISA', 'AVX2')

import mmengine.config.config
import pytest
import torch
from mmengine.registry import DefaultScope

# CI has a limit of time, and some of its machines take several times as long as others: what has not started by this
# time, in seconds since 1970, is skipped. The environments count, too, which `make test` builds first. This is no
# option, because a test that starts pytest in another folder would hand it on.
_DEADLINE = float(os.environ.get('TEST_DEADLINE', 'inf'))
_NO_TIME = 'no time left: TEST_DEADLINE is over'
_running: dict[str, float] = {}


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave all cases of a test that is ``sampled(N)`` to the nightly tests, but each N-th."""
    seen: Counter[str] = Counter()
    for item in items:
        if marker := item.get_closest_marker('sampled'):
            function = item.nodeid.partition('[')[0]
            if seen[function] % marker.args[0]:
                item.add_marker(pytest.mark.nightly)
            seen[function] += 1


def pytest_configure(config: pytest.Config) -> None:
    """Have SIGTERM, by which CI ends what takes too long, name the tests at work, and end as Ctrl-C does."""

    def end(*_: object) -> NoReturn:
        reporter = config.pluginmanager.get_plugin('terminalreporter')
        for nodeid, start in _running.items():
            reporter.write_line(f'\nat work for {time.monotonic() - start:.0f} s: {nodeid}')
        reporter.flush()
        raise KeyboardInterrupt

    if not hasattr(config, 'workerinput'):
        signal.signal(signal.SIGTERM, end)
        # The workers of a pool end by it, as in PreemptionHook.
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_end_by_sigterm)


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _end_by_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


def pytest_runtest_logstart(nodeid: str) -> None:
    _running[nodeid] = time.monotonic()


def pytest_runtest_logfinish(nodeid: str) -> None:
    _running.pop(nodeid, None)


def pytest_runtest_setup() -> None:
    if time.time() > _DEADLINE:
        pytest.skip(_NO_TIME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """State how many tests had no time: as dots they look like those that need a GPU."""
    skipped = sum(_NO_TIME in str(report.longrepr) for report in terminalreporter.stats.get('skipped', []))
    if skipped:
        terminalreporter.write_line(f'{skipped} tests were skipped: {_NO_TIME}')


@pytest.fixture(autouse=True, scope='module')
def no_default_scope():
    """Start each file without a default scope, as if it ran alone.

    Runner and ``init_default_scope`` set it for the rest of the process. After a file that builds a segmenter, names
    without a scope would be looked up in mmseg.
    """
    DefaultScope._instance_dict = OrderedDict()


def process_wide() -> dict:
    """Return settings of the process that a test may change for itself, but not for the files after it."""
    return dict(
        format_code=getattr(mmengine.config.config, 'FormatCode', None),
        logging_disabled=logging.root.manager.disable,
        default_dtype=torch.get_default_dtype(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        folder=os.getcwd(),
        torch_load=torch.load,
        ranks={name: os.environ.get(name) for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')},
    )


@pytest.fixture(autouse=True, scope='module')
def nothing_is_left_behind():
    """Fail if a file leaves a setting of the process changed: a later file would pass alone and fail in a whole run."""
    before = process_wide()
    yield
    after = process_wide()
    assert after == before, f'left behind: {[name for name in before if after[name] != before[name]]}'
