"""Which file sets each value of a config."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError

from .command_line import merge_options
from .num_views import expand_num_views
from .setup import load_config

COMMAND_LINE = '--cfg-options'
_DELETE = '_delete_'


@dataclass(frozen=True)
class Source:
    """The file that sets a value.

    Attributes:
        name: Path of the file, relative to the working directory where it is below that; ``package::path`` for a
            config of an installed package; ``--cfg-options`` for an option.
        replaces: Whether the file sets the value by a dict with ``_delete_=True``, which replaces that of its bases.
    """

    name: str
    replaces: bool = False

    def __str__(self) -> str:
        return f'{self.name} (_delete_)' if self.replaces else self.name


# The source of a value and of all below it; or, by key, the origins of the parts of a dict or list, with the origin of
# the parts that are not listed under None.
Origin = Source | dict[Any, Any]


class ConfigSources:
    """A resolved config that knows which file sets each of its values.

    Args:
        path: Config file.
        options: Settings to override, as ``--cfg-options`` gives them.

    Attributes:
        config: The resolved config, as ``Config.fromfile`` returns it.
        files: Names of the files that it is made of, in the order in which they apply: the recipe is last.

    Raises:
        SetupError: If there is no such file, or it inherits by ``read_base()``.
    """

    def __init__(self, path: str, options: dict[str, Any] | None = None) -> None:
        if Path(path).is_file() and Config._is_lazy_import(path):
            raise SetupError(f'{path} inherits by read_base(): only configs that inherit by _base_ can be traced')
        recorder = _Recorder()
        with recorder.recording():
            self.config = load_config(path)
        self.files = list(dict.fromkeys(recorder.files))
        self._origins = recorder.origins
        if options:
            self._override(expand_num_views(self.config, options))

    def source(self, *keys: str | int) -> Source:
        """Return the source of the value at ``config[keys[0]][keys[1]]…``."""
        origin = self._origins[str(keys[0])]
        for key in keys[1:]:
            origin = _part(origin, key)
        while isinstance(origin, dict):
            origin = origin[None]
        return origin

    def _override(self, options: dict[str, Any]) -> None:
        nested: dict[str, Any] = {}
        for key, value in options.items():
            *parents, last = key.split('.')
            target = nested
            for parent in parents:
                target = target.setdefault(parent, {})
            target[last] = value
        before = self.config.to_dict()
        merge_options(self.config, options)
        source = Source(COMMAND_LINE)
        for key, value in nested.items():
            self._origins[key] = _overlay(self._origins.get(key, source), before.get(key), value, source)


def _part(origin: Origin, key: Any) -> Origin:
    return origin[key if key in origin else None] if isinstance(origin, dict) else origin


def _overlay(origin: Origin, value: Any, own: Any, source: Source) -> Origin:
    """Return the origin of ``value`` after ``own`` from ``source`` is merged into it; ``origin`` is the one before."""
    if not isinstance(own, dict) or not isinstance(value, (dict, list)):
        return source
    if own.get(_DELETE):
        return Source(source.name, replaces=True)
    parts: dict[Any, Any] = dict(origin) if isinstance(origin, dict) else {None: origin}
    known = dict(enumerate(value)) if isinstance(value, list) else value
    for name, item in own.items():
        key = int(name) if isinstance(value, list) else name
        parts[key] = _overlay(_part(origin, key), known[key], item, source) if key in known else source
    return parts


@dataclass
class _File:
    """A config file that is being read: its source, and the origins of the variables of its bases."""

    source: Source
    origins: dict[str, Origin] = field(default_factory=dict)
    is_merged: bool = False


class _Recorder:
    """Records what mmengine merges, file by file, while it reads a config.

    mmengine reads a file by ``Config._file2dict``, which calls itself for each base and then
    ``Config._merge_a_into_b`` once with the file's own variables and those of its bases.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.origins: dict[str, Origin] = {}
        self._open: list[_File] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the context is open."""
        read, merge = Config._file2dict, Config._merge_a_into_b
        with _replaced('_file2dict', self._file2dict(read)), _replaced('_merge_a_into_b', self._merge(merge)):
            yield

    def _file2dict(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def file2dict(filename: str, *args: Any, **kwargs: Any) -> Any:
            file = _File(Source(_name(filename)))
            self._open.append(file)
            result = read(filename, *args, **kwargs)
            self._open.pop()
            self.files.append(file.source.name)
            (self._open[-1].origins if self._open else self.origins).update(file.origins)
            return result

        return file2dict

    def _merge(self, merge: Callable[..., Any]) -> Callable[..., Any]:
        def merge_a_into_b(a: dict, b: dict, *args: Any, **kwargs: Any) -> Any:
            file = self._open[-1] if self._open else None
            if file is not None and not file.is_merged:
                file.is_merged = True  # the merge calls itself for nested dicts
                for name, own in a.items():
                    base = file.origins.get(name, file.source)
                    file.origins[name] = _overlay(base, b.get(name), own, file.source)
            return merge(a, b, *args, **kwargs)

        return merge_a_into_b


@contextmanager
def _replaced(name: str, function: Callable[..., Any]) -> Iterator[None]:
    original = Config.__dict__[name]
    setattr(Config, name, staticmethod(function))
    try:
        yield
    finally:
        setattr(Config, name, original)


def _name(filename: str) -> str:
    path = Path(filename).resolve()
    folders = path.parts
    if '.mim' in folders:  # an installed package keeps its configs there
        index = folders.index('.mim')
        return f'{folders[index - 1]}::{"/".join(folders[index + 2 :])}'
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
