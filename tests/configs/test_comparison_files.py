"""The comparison files of the repository."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.models import group_schedule

FILES = sorted((Path(__file__).resolve().parents[2] / 'configs' / 'comparisons').glob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_comparison_is_valid_and_no_two_rows_are_the_same(path):
    comparison = load_comparison(path)
    assert comparison.name == path.stem
    resolved = {}
    paths = {row.config for row in comparison.rows}
    configs = {config: Config.fromfile(str(config)) for config in paths}  # because reading a file is slow
    for row in comparison.rows:
        cfg = copy.deepcopy(configs[row.config])
        cfg.merge_from_dict(dict(row.options))
        resolved[row.name] = (str(cfg.to_dict()), row.command, row.select)
    assert len(set(resolved.values())) == len(resolved)  # no two rows have the same run


@pytest.mark.parametrize(('name', 'epochs'), [('smog_reset_garment-scenes', 12), ('smog_ratios-24e_garment-scenes', 24)])
def test_the_ratios_of_smog_are_those_of_the_helper(name, epochs):
    comparison = load_comparison(FILES[0].parent / f'{name}.py')
    (options,) = (row.options for row in comparison.rows if row.name == "paper's ratios")
    assert options['train_cfg.max_epochs'] == epochs
    schedule = group_schedule(images=8000, batch_size=64, epochs=epochs)
    assert schedule == tuple(
        options[key]
        for key in ('custom_hooks.0.interval', 'model.momentum', 'model.head.num_groups', 'model.head.end_beta')
    )
