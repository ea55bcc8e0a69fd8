"""A resolved config as text, with the source of each value."""

import difflib
import keyword
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lewel_plugins.errors import SetupError

from .config_sources import ConfigSources

_WIDTH = 112  # longest line without its comment; a single value may be longer
_COLUMN = 76  # the rightmost column at which comments are aligned
_INDENT = '    '
# The keys to list first, because recipes differ in them; all others follow.
_FIRST = (
    'model',
    'custom_hooks',
    'data_preprocessor',
    'train_dataloader',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'auto_scale_lr',
)
Key = str | int


def list_config(sources: ConfigSources, only: Sequence[str] = ()) -> str:
    """Return a config as Python code, with the file that sets a value as a comment on its line.

    A comment at an opening bracket holds for all values within. The code without the comments is a config of its own,
    equal to the resolved one.

    Args:
        sources: The config.
        only: Dotted keys; if there are any, the text contains only these values.

    Raises:
        SetupError: If the config does not contain a key of ``only``.
    """
    config = sources.config.to_dict()
    lines: list[tuple[str, str]] = []
    parts = _select(config, only) if only else config
    for name in dict.fromkeys([*(name for name in _FIRST if name in parts), *parts]):
        lines += _lines(sources, f'{name} = ', parts[name], (name,), '')
    column = min(max((len(text) for text, source in lines if source), default=0), _COLUMN)
    body = [f'{text:{column}}  # {source}' if source else text for text, source in lines]
    return '\n'.join([*_heading(sources), *body]) + '\n'


def _heading(sources: ConfigSources) -> Iterator[str]:
    yield f'# {sources.files[-1]} and its bases, in the order in which they apply:'
    for name in sources.files:
        yield f'#   {name}'


def _select(config: dict[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """Return the parts of a config that are below some dotted keys."""
    selection: dict[str, Any] = {}
    for dotted in only:
        value, target = config, selection
        *parents, last = keys = dotted.split('.')
        for depth, key in enumerate(keys):
            if not isinstance(value, dict) or key not in value:
                raise SetupError(_unknown(dotted, '.'.join(keys[:depth]), value, key))
            value = value[key]
        for key in parents:
            target = target.setdefault(key, {})
        target[last] = value
    return selection


def _unknown(dotted: str, parent: str, value: Any, key: str) -> str:
    if not isinstance(value, dict):
        return f'--only {dotted}: {parent} is {value!r}, which has no keys; name {parent} itself'
    names = [str(name) for name in value]
    near = difflib.get_close_matches(key, names, n=3) or names
    return f'--only {dotted}: {parent or "the config"} has no {key!r}. Did you mean {" or ".join(near)}?'


def _lines(
    sources: ConfigSources, prefix: str, value: Any, keys: tuple[Key, ...], indent: str
) -> Iterator[tuple[str, str]]:
    """Yield the lines of a value, each with the source to name on it, or '' for none."""
    end = ',' if indent else ''
    names = set(_sources(sources, value, keys))
    source = names.pop() if len(names) == 1 else ''
    line = f'{indent}{prefix}{_code(value)}{end}'
    if source and (len(line) <= _WIDTH or not isinstance(value, (dict, list, tuple))):
        yield line, source
        return
    is_call = isinstance(value, dict) and all(_is_name(key) for key in value)
    left, right = ('dict(', ')') if is_call else _BRACKETS[type(value)]
    yield f'{indent}{prefix}{left}', source
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        before = (f'{key}=' if is_call else f'{key!r}: ') if isinstance(value, dict) else ''
        for text, name in _lines(sources, before, item, (*keys, key), indent + _INDENT):
            yield text, '' if source else name
    yield f'{indent}{right}{end}', ''


_BRACKETS: dict[type, tuple[str, str]] = {dict: ('{', '}'), list: ('[', ']'), tuple: ('(', ')')}


def _sources(sources: ConfigSources, value: Any, keys: tuple[Key, ...]) -> Iterator[str]:
    """Yield the names of the sources of a value and of all below it."""
    parts: Iterable[tuple[Key, Any]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    is_leaf = True
    for key, item in parts:
        is_leaf = False
        yield from _sources(sources, item, (*keys, key))
    if is_leaf:
        yield str(sources.source(*keys))


def _code(value: Any) -> str:
    if isinstance(value, dict):
        if all(_is_name(key) for key in value):
            return f'dict({", ".join(f"{key}={_code(item)}" for key, item in value.items())})'
        return f'{{{", ".join(f"{key!r}: {_code(item)}" for key, item in value.items())}}}'
    if isinstance(value, (list, tuple)):
        left, right = _BRACKETS[type(value)]
        comma = ',' if isinstance(value, tuple) and len(value) == 1 else ''
        return f'{left}{", ".join(map(_code, value))}{comma}{right}'
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)
