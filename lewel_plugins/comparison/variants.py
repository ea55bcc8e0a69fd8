"""Comparison files on other data: the same rows on other configs.

A file under ``configs/comparisons`` names its rows for one data set, usually garment scenes. ``variants`` names other
data sets on which the same rows run::

    variants = dict(
        in100=dict(
            title="LEWEL's switches on ImageNet-100",
            base='../lewel/lewel-m_resnet50_8xb32-coslr-240e_in100.py',
            configs={'../baselines/byol_small.py': '../baselines/byol_large.py'},
            rows={'d 32': dict(name='d 64', options={'model.neck.out_channels': 64}), 'a row only for the small': None},
            add=[dict(name='h 16', options={'model.neck.num_groups': 16})],
        ),
    )

The options of the rows apply to the other configs. The options of the *file* do not: they fit the length and the rate
of the small training, and a variant has its own ``options``, if any.

A row with ``bound_to_base=True`` has options that fit only the file's own base, such as the width of a larger head or a
number of groups. ``--base`` refuses it, because on another base it would not be what its name states. A variant has the
values for its own data in ``rows``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError

FIELDS = ('title', 'question', 'base', 'configs', 'options', 'rows', 'add', 'seeds', 'metrics', 'baseline', 'post')
_REPLACED = ('title', 'question', 'base', 'seeds', 'metrics', 'baseline', 'post')


def apply_variant(entries: Mapping[str, Any], data: str, path: Path) -> dict[str, Any]:
    """Return the entries of a comparison file on other data.

    Args:
        entries: Entries of the file.
        data: Name of one of its ``variants``.
        path: The file, for messages and the name of the comparison.

    Raises:
        SetupError: There is no such variant, or it leaves open what a row runs on.
    """
    variants = entries.get('variants', {})
    if data not in variants:
        known = ', '.join(variants) or 'none'
        raise SetupError(f'{path} has no variant {data!r}; its variants are {known}')
    variant = variants[data]
    unknown = sorted(set(variant) - set(FIELDS))
    if unknown:
        raise SetupError(f'{path}: variant {data!r}: unknown {", ".join(unknown)}; known are {", ".join(FIELDS)}')
    changes = variant.get('rows', {})
    missing = sorted(set(changes) - {row.get('name') for row in entries.get('rows', ())})
    if missing:
        raise SetupError(f'{path}: variant {data!r} changes rows {missing}, which the file does not have')
    configs = variant.get('configs', {})
    rows = [
        _map_config({**row, **(changes.get(row['name']) or {})}, changes.get(row['name']) or {}, configs, data, path)
        for row in entries.get('rows', ())
        if changes.get(row['name'], {}) is not None
    ]
    names = {old: change['name'] for old, change in changes.items() if change and 'name' in change}
    result = {name: value for name, value in entries.items() if name not in ('variants', 'options', 'base')}
    result.update(name=_name(path, data), options=variant.get('options', {}), rows=[*rows, *variant.get('add', ())])
    result.update({name: variant[name] for name in _REPLACED if name in variant})
    left_out = {name for name, change in changes.items() if change is None}
    return _rename(result, names, left_out)


def apply_base(entries: Mapping[str, Any], base: str | Path, path: Path) -> dict[str, Any]:
    """Return the entries of a comparison file with another base config, whose own schedule replaces the file's options.

    Args:
        entries: Entries of the file.
        base: The config, from the current folder.
        path: The file, for messages and the name of the comparison.

    Raises:
        SetupError: The config does not exist, a row has a config of its own, which has no counterpart, or a row is
            ``bound_to_base``.
    """
    base = Path(base)
    if not base.is_file():
        raise SetupError(f'--base: config {str(base)!r} does not exist')
    own = [row['name'] for row in entries.get('rows', ()) if 'config' in row]
    if own:
        raise SetupError(f'--base: rows {own} of {path} have configs of their own; run a variant of the file by --data')
    bound = [row['name'] for row in entries.get('rows', ()) if row.get('bound_to_base')]
    if bound:
        raise SetupError(
            f'--base: rows {bound} of {path} have options that fit only its own base (bound_to_base); run a '
            'variant of the file by --data, or make a file with values for this base'
        )
    result = {name: value for name, value in entries.items() if name not in ('variants', 'options')}
    name = _name(path, base.stem)
    return {**result, 'base': str(base.resolve()), 'name': name, 'title': name}


def _map_config(
    row: Mapping[str, Any], change: Mapping[str, Any], configs: Mapping[str, str], data: str, path: Path
) -> dict[str, Any]:
    """Return a row with the config that it has on other data."""
    if 'config' not in row or 'config' in change:
        return dict(row)
    if row['config'] not in configs:
        raise SetupError(
            f'{path}: row {row["name"]!r} has the config {row["config"]!r}, for which variant {data!r} names no other: '
            'add it to `configs`, or the row to `rows`'
        )
    return {**row, 'config': configs[row['config']]}


def _rename(entries: dict[str, Any], names: Mapping[str, str], left_out: set[str]) -> dict[str, Any]:
    """Let baselines and posts follow rows that have another name or are left out."""

    def new(name: str) -> str:
        return names.get(name, name)

    rows: list[dict[str, Any]] = []
    for row in entries['rows']:
        named = {**row, 'baseline': new(row['baseline'])} if row.get('baseline') else dict(row)
        if row.get('baseline') in left_out:
            del named['baseline']
        rows.append(named)
    posts: Sequence[Mapping[str, Any]] = entries.get('post', ())
    post = [
        {**entry, 'rows': [new(name) for name in entry['rows'] if name not in left_out]} if entry.get('rows') else entry
        for entry in posts
    ]
    if 'claims' in entries:
        remaining = [claim for claim in entries['claims'] if not left_out & {claim['better'], claim['worse']}]
        claims = [{**claim, 'better': new(claim['better']), 'worse': new(claim['worse'])} for claim in remaining]
        entries = {**entries, 'claims': claims}
    if 'baseline' in entries:
        entries = {**entries, 'baseline': new(entries['baseline'])}
    return {**entries, 'rows': rows, 'post': [entry for entry in post if entry.get('rows', True)]}


def _name(path: Path, data: str) -> str:
    """Return the file's name with another data set at its end."""
    return f'{path.stem.rpartition("_")[0] or path.stem}_{data}'
