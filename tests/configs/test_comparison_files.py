"""The comparison files of the repository."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from lewel_plugins.comparison.spec import load_comparison

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
