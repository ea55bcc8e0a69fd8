"""Six steps of every method on one and two ranks have the recorded losses, gradients and states, to the last bit.

Gradients and states are compared without names, so that parameters and buffers can be renamed and moved. A test that
fails names the first step and quantity that differ; ``record.py`` explains when the records may be replaced.
"""

import functools
import json
from pathlib import Path

import pytest
import record
from cases import CASES

pytestmark = pytest.mark.core

RECORDED = json.loads(record.DIGESTS.read_text())


@pytest.fixture(scope='module')
def same_arithmetic() -> None:
    """Skip if torch or the processor rounds differently from those of the records."""
    recorded, present = RECORDED['canary'], record.canary()
    versions = [value['torch'].split('+')[0] for value in (recorded, present)]
    if versions[0] != versions[1] or recorded['digest'] != present['digest']:
        pytest.skip(
            f'bits cannot be compared: the digests were recorded with torch {recorded["torch"]}, and torch '
            f'{present["torch"]} on this machine is another version or rounds differently'
        )


@pytest.fixture(scope='module')
def present(request):
    """Return a function from a number of ranks to one recording for all selected tests."""
    tests = [item for item in request.session.items if item.path == Path(__file__)]
    selected = {item.callspec.params['name'] for item in tests if hasattr(item, 'callspec')}
    return functools.cache(lambda ranks: record.record(ranks, [name for name in CASES if name in selected]))


@pytest.mark.parametrize('ranks', record.RANKS)
@pytest.mark.parametrize('name', CASES)
def test_same_bits_as_recorded(name, ranks, same_arithmetic, present):
    difference = record.first_difference(name, ranks, RECORDED, present(ranks))
    if difference:
        pytest.fail(difference, pytrace=False)


def test_every_record_has_its_case():
    keys = [record.key(name, rank, ranks) for name in CASES for ranks in record.RANKS for rank in range(ranks)]
    assert sorted(RECORDED) == sorted(['canary', *keys])
