"""Entries of the configs that mmengine reads on several GPUs only, so that no training on a CPU tries them."""

from __future__ import annotations

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

CONFIGS = ROOT / 'configs'


def everything() -> list:
    """Return the files that a Runner runs."""
    paths = [path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts and path.parent.name != 'comparisons']
    return sorted(path for path in paths if '_base_' in path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', everything(), ids=lambda path: path.stem)
def test_entries_that_only_gpus_read(path):
    cfg = Config.fromfile(str(path), import_custom_modules=False)  # those of other libraries are not installed
    assert cfg.get('sync_bn') in (None, 'torch', 'mmcv')
    assert cfg.get('launcher', 'none') == 'none'
    assert isinstance(cfg.get('find_unused_parameters', False), bool)
    assert isinstance(cfg.get('compile', False), (bool, dict))
    wrapper = cfg.get('model_wrapper_cfg')
    assert wrapper is None or 'type' in wrapper
    if 'env_cfg' in cfg and cfg.default_scope != 'mmdet':  # ranks wait for one that lists a large folder
        assert cfg.env_cfg.dist_cfg == dict(backend='nccl', timeout=3600)
