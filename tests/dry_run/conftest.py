"""Collect no test of this folder on a torch without what a dry run needs."""

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError

try:
    check_torch()
except SetupError:
    collect_ignore_glob = ['test_*.py']
