"""The comparison files of the repository."""

import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json
from lewel_plugins.models import group_schedule

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / 'configs' / 'comparisons').glob('*.py'))


def variants(path: Path) -> list[str]:
    """Return the names of a file's variants."""
    return list(Config.fromfile(path).get('variants', {}))


ALL = [(path, data) for path in FILES for data in (None, *variants(path))]


@pytest.mark.parametrize(('path', 'data'), ALL, ids=lambda value: getattr(value, 'stem', value))
def test_comparison_is_valid_and_no_two_rows_are_the_same(path, data):
    comparison = load_comparison(path, data=data)
    assert comparison.name == (path.stem if data is None else f'{path.stem.rpartition("_")[0]}_{data}')
    configs = resolved_configs(comparison)
    runs = {(str(configs[row.name].to_dict()), row.command, row.select) for row in comparison.rows}
    assert len(runs) == len(comparison.rows)
    if data is not None:  # nothing of the small training is left
        assert not any('garment' in str(row.config) for row in comparison.rows)
        assert all(cfg.train_cfg.max_epochs >= 100 for cfg in configs.values())


@pytest.mark.sampled(3)
@pytest.mark.parametrize(('path', 'data'), ALL, ids=lambda value: getattr(value, 'stem', value))
def test_the_model_of_every_row_builds(path, data, monkeypatch):
    """Options of a row that its base does not know, such as those of another head, are errors."""
    init_default_scope('mmpretrain')
    # mmpretrain's backbones read its values.
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    comparison = load_comparison(path, data=data)
    configs = resolved_configs(comparison)
    built = set()
    # tests/tools/test_library_methods.py builds those of other libraries.
    rows = [row.name for row in comparison.rows if 'custom_imports' not in configs[row.name]]
    for name, model in ((name, configs[name].model) for name in rows):
        if str(model) in built:
            continue
        built.add(str(model))
        with torch.device('meta'):  # shapes without memory
            try:
                MODELS.build(model)
            except Exception as error:
                raise AssertionError(f'row {name}') from error


WIDTHS = ('hid_channels', 'out_channels', 'aligned_channels', 'model.head.num_groups', 'interval')


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_rows_with_widths_or_counts_are_bound_to_their_base(path):
    rows = Config.fromfile(path).rows
    wide = {
        row.name for row in rows if 'config' not in row and any(key.endswith(WIDTHS) for key in row.get('options', {}))
    }  # --base refuses a row with a config of its own anyway
    assert wide <= {row.name for row in rows if row.get('bound_to_base')}
    if any(row.get('bound_to_base') and 'config' not in row for row in rows):
        with pytest.raises(SetupError, match='^--base: rows '):
            load_comparison(path, base=path)


@pytest.mark.parametrize('page', ['configs/comparisons/README.md', 'docs/reproduce.md'])
def test_documented_command_of_another_base_works(page):
    text = (ROOT / page).read_text(encoding='utf-8').replace('\\\n', '')
    file, base = re.search(r'tools/compare.py (\S+) +--base (\S+)', text).groups()
    comparison = load_comparison(ROOT / file, base=ROOT / base)
    assert {str(row.config) for row in comparison.rows} == {str(ROOT / base)}
    assert len(resolved_configs(comparison)) == len(comparison.rows) > 1


@pytest.mark.parametrize(
    ('name', 'epochs'), [('smog_reset_garment-scenes', 12), ('smog_ratios-24e_garment-scenes', 24)]
)
def test_the_ratios_of_smog_are_those_of_the_helper(name, epochs):
    comparison = load_comparison(FILES[0].parent / f'{name}.py')
    (options,) = (row.options for row in comparison.rows if row.name == "paper's ratios")
    assert options['train_cfg.max_epochs'] == epochs
    schedule = group_schedule(images=8000, batch_size=64, epochs=epochs)
    assert schedule == tuple(
        options[key]
        for key in ('custom_hooks.0.interval', 'model.momentum', 'model.head.num_groups', 'model.head.end_beta')
    )


@pytest.mark.parametrize(
    ('name', 'images'), [('rates_cifar10', 45000), ('equal-time_cifar10', 50000), ('length_cifar10', 50000)]
)
def test_smog_on_cifar10_has_the_ratios_of_the_helper(name, images):
    configs = resolved_configs(load_comparison(FILES[0].parent / f'{name}.py'))
    for row in (configs[row] for row in configs if row.startswith('SMoG')):
        hook = next(hook for hook in row.custom_hooks if hook.type.endswith('SMoGResetHook'))
        schedule = group_schedule(images=images, batch_size=128, epochs=row.train_cfg.max_epochs)
        assert schedule == (hook.interval, row.model.momentum, row.model.head.num_groups, row.model.head.end_beta)


def test_the_rates_on_cifar10_are_the_best_of_the_search():
    results = read_json(ROOT / 'docs' / 'results' / 'rates_cifar10.json')
    if results is None:
        pytest.skip('the search has not been run to its end')
    accuracies = defaultdict(dict)
    for row in results['rows']:
        method, _, rate = row['name'].rpartition(', ')
        if not method:
            continue  # raw pixels
        for values in row['values'].values():
            accuracies[method][float(rate)] = values['knn/top1_k20']
    for name, cfg in resolved_configs(load_comparison(FILES[0].parent / 'all-methods_cifar10.py')).items():
        optimizer, method = cfg.optim_wrapper.optimizer, name.removesuffix(', LARS')
        chosen = (f'{method}, LARS' if optimizer.type.endswith('LARS') else method, optimizer.lr)
        # BYOL is there by LARS, too, beside its best.
        searched = {name} if name.endswith('LARS') else {method, f'{method}, LARS'}
        if not accuracies[chosen[0]]:
            continue  # its search has not been run yet
        best = max((accuracy, series, lr) for series in searched for lr, accuracy in accuracies[series].items())
        assert chosen == best[1:], name
