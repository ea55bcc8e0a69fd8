"""Methods of other libraries, as configs name their modules."""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from mmengine.utils import import_modules_from_strings

LIGHTLY = 'measurements.steps.lightly_methods'
STABLE_PRETRAINING = 'measurements.steps.stable_pretraining_methods'


def register_methods(modules: Iterable[str] = (LIGHTLY, STABLE_PRETRAINING)) -> bool:
    """Import modules by the names that ``custom_imports`` of configs have, so that no model is registered twice.

    Returns:
        Whether their libraries are installed. If not, nothing is imported.
    """
    modules = list(modules)
    if any(find_spec(module.rpartition('.')[2].removesuffix('_methods')) is None for module in modules):
        return False
    tools = str(Path(__file__).resolve().parents[2])
    if tools not in sys.path:  # a script in tools/measurements has only that folder
        sys.path.append(tools)
    import_modules_from_strings(modules)
    return True
