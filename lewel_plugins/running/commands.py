"""Command lines that config files hold."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lewel_plugins.errors import SetupError

_PLACEHOLDER = re.compile(r'\{([a-z_]+)\}')


def fill_placeholders(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Replace each ``{name}`` in the words of a command by its value. Spaces in a value do not split words.

    Raises:
        SetupError: A placeholder is unknown. Names the known ones.
    """

    def fill(match: re.Match) -> str:
        if match[1] not in values:
            known = ', '.join(f'{{{name}}}' for name in values)
            raise SetupError(f'unknown placeholder {match[0]}; known are {known}')
        return str(values[match[1]])

    return [_PLACEHOLDER.sub(fill, word) for word in words]


def python_command(script: Sequence[str], processes: int, python: str = '{python}') -> tuple[str, ...]:
    """Return the command line of a script on one or several processes of this machine.

    Args:
        script: Path of the script, and its arguments.
        processes: Number of processes; more than one are started by torchrun, see :mod:`lewel_plugins.running.launch`,
            and the script needs ``--launcher``.
        python: The interpreter, or a placeholder.
    """
    if processes == 1:
        return (python, *script)
    torchrun = (
        '-m',
        'lewel_plugins.running.launch',
        '--standalone',
        '--local-addr=127.0.0.1',
        f'--nproc_per_node={processes}',
    )
    return (python, *torchrun, *script, '--launcher', 'pytorch')
