"""``tools/dry_run.py`` on a torch without what it needs; ``tests/dry_run`` has its other tests."""

import sys

import pytest
import torch
from helpers.tool_runs import ROOT, run

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


def is_new(version: str) -> bool:
    try:
        check_torch(version)
    except SetupError:
        return False
    return True


def test_an_older_torch_is_one_line():
    with pytest.raises(SetupError, match=r'needs torch 2.9 or newer, .* and this is torch 2.1.2\+cu121: see docs/ins'):
        check_torch('2.1.2+cu121')
    assert is_new('2.9.0') and is_new('2.11.0+cu130') and is_new('3.0.0') and not is_new('2.8.1')


def test_help_or_one_line():
    result = run(sys.executable, str(ROOT / 'tools' / 'dry_run.py'), '--help', cwd=ROOT)
    if is_new(torch.__version__):
        assert result.returncode == 0 and '--largest-batch' in result.stdout
    else:
        assert result.returncode == 1 and result.stdout.strip().split('\n')[-1].startswith('error: a dry run needs')
