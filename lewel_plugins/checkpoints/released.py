"""The weights that come with the package: ``NAME.safetensors`` and their model cards ``NAME.md`` in one folder."""

from pathlib import Path

from lewel_plugins.errors import SetupError

from .safetensors_format import SUFFIX

SCHEME = 'lewel_plugins://'
FOLDER = Path(__file__).resolve().parents[1] / 'weights'


def list_pretrained() -> list[str]:
    """Return the names of the weights that come with the package, for :func:`load_pretrained`."""
    return sorted(path.stem for path in FOLDER.glob(f'*{SUFFIX}'))


def released_file(name: str) -> Path:
    """Return the file of the weights of a name.

    Raises:
        SetupError: There are none of this name. Lists the names that exist.
    """
    names = list_pretrained()
    if name not in names:
        known = f'there are {", ".join(names)}' if names else 'there are none'
        raise SetupError(f'lewel_plugins has no weights {name!r}; {known}')
    return FOLDER / f'{name}{SUFFIX}'
