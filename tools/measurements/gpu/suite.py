"""The tests that need a GPU, one process per file."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lewel_plugins.running.provenance import ROOT

_SHOWN = 200  # characters of a message


def test_files() -> list[Path]:
    """Return the files of tests, relative to the root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / 'tests' / 'gpu').glob('test_*.py'))


def run_file(device: str, file: str) -> dict[str, Any]:
    """Run the tests of a file; return how many have passed, and those that have not, with the reason.

    On a GPU these are the tests with the marker ``gpu``, on a CPU the others.

    Raises:
        RuntimeError: pytest has not run any test.
    """
    marker = 'not gpu' if device == 'cpu' else 'gpu'
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.xml'
        command = [sys.executable, '-m', 'pytest', file, '-m', marker, f'--junitxml={report}', '-p', 'no:cacheprovider']
        done = subprocess.run(command, cwd=ROOT)  # its output goes to the row's log
        if not report.exists():
            raise RuntimeError(f'pytest has ended with exit code {done.returncode} before any test')
        cases = list(ElementTree.parse(report).getroot().iter('testcase'))
    if not cases:
        raise RuntimeError(f'pytest has found no test in {file}')
    result: dict[str, Any] = dict(passed=0, failed=[], skipped=[])
    for case in cases:
        outcome = next((child for child in case if child.tag in ('failure', 'error', 'skipped')), None)
        if outcome is None:
            result['passed'] += 1
            continue
        kind = 'skipped' if outcome.tag == 'skipped' else 'failed'
        message = (outcome.get('message') or '').strip().split('\n')[0][:_SHOWN]
        result[kind].append(dict(name=case.get('name'), message=message))
    return result
