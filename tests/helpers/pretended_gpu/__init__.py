"""A GPU that is pretended: its tensors have the device ``cuda:0``, and their values are on the CPU.

A whole training runs on it, with hooks, validation, checkpoints and a resume. What CUDA would refuse is an error with
its source line, and every wait of the host for the device is recorded with its source line.

- ``tensor``: the tensors; ``dispatch``: the rules, applied to every operation.
- ``gpu``: the block in which torch believes in the GPU.
- ``training``: trainings by the Runner.
- ``mutants``: functions of the package with a mistake in one line.

``lewel_plugins.dry_run`` has the rules, the sources of a line and the backward pass in Python; its tensors have no
values.
"""

import pytest

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.errors import SetupError

try:
    check_torch()
except SetupError as error:
    pytest.skip(str(error).replace('a dry run', 'the pretended GPU'), allow_module_level=True)
