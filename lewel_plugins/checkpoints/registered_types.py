"""Check that all types in a config are registered, because mmengine imports and calls any other."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from lewel_plugins.errors import SetupError

# Packages whose registries a checkpoint's config may name; mmengine imports the package of a scope.
_SCOPES = ('mmengine', 'mmpretrain', 'mmdet', 'mmseg', 'lewel_plugins')

# Types that mmdet finds in mmcv.ops instead of a registry.
_OPS = ('RoIAlign', 'RoIPool', 'nms', 'soft_nms')


def check_scope(scope: Any, path: str | Path) -> None:
    """Check that a config names a known scope.

    Raises:
        SetupError: It does not.
    """
    if scope not in _SCOPES:
        raise SetupError(f'the config in {path} names the scope {scope!r}; known are {", ".join(_SCOPES)}')


def check_types(tree: Any, scope: str, path: str | Path) -> None:
    """Check all types in a part of a config.

    mmengine takes a type that is in no registry for the path of a function, imports its module and calls it.

    Args:
        tree: Part of a config.
        scope: Default scope.
        path: File of the checkpoint, for the error.

    Raises:
        SetupError: A type is in no registry, or the config demands remote code.
    """
    if isinstance(tree, dict):
        scope = tree.get('_scope_', scope)
        check_scope(scope, path)
        name = tree.get('type')
        if isinstance(name, str) and name not in _OPS and not _is_registered(name, scope):
            raise SetupError(
                f'the config in {path} has the type {name!r}, which is in no registry. Modules that a checkpoint names '
                'are not imported; those in custom_imports of a config file are, if the tool accepts a config'
            )
        if tree.get('trust_remote_code'):  # an option of mmpretrain's wrappers for Hugging Face
            raise SetupError(f'the config in {path} has trust_remote_code=True, so nothing is built from it')
        tree = list(tree.values())
    for item in tree if isinstance(tree, (list, tuple)) else ():
        check_types(item, scope, path)


def _is_registered(name: str, default_scope: str) -> bool:
    module, _, key = name.rpartition('.')
    scope = module.split('.')[0] or default_scope  # mmengine's new configs name a class by its module
    scopes = (scope,) if module else (scope, 'mmengine')
    registries = _registries('mmengine')
    registries += [child for root in registries for child in root.children.values()]
    if scope in _SCOPES and find_spec(scope):
        registries += _registries(scope)
    registries = [registry for registry in registries if registry.scope in scopes]
    if any(key in registry.module_dict for registry in registries):
        return True
    for registry in registries:
        registry.import_from_location()
    return any(key in registry.module_dict for registry in registries)


def _registries(scope: str) -> list[Registry]:
    return [value for value in vars(import_module(f'{scope}.registry')).values() if isinstance(value, Registry)]
