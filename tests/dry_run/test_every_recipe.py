"""The recipes pass a dry run: no error, no wait, no unused parameter, and the figures of ``docs/results``."""

import json
from pathlib import Path

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.dry_run.command import own_gpus
from lewel_plugins.dry_run.gpus import needed_memory
from lewel_plugins.dry_run.report import as_page
from lewel_plugins.dry_run.step import DryRun

METHODS = ('lewel', 'smog', 'mpcl', 'msbreg', 'baselines')
RECIPES = {path.stem: path for method in METHODS for path in sorted((ROOT / 'configs' / method).glob('*.py'))}
SOME = (
    'lewel-b_resnet50_8xb512-lars-syncbn-coslr-400e_in1k',  # our SyncBN, an EMAN teacher
    'smog_swin-tiny_32xb128-adamw-multicrop-coslr-400e_in1k',  # views of two sizes, AdamW
    'mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k',  # 4 projectors of width 8192
    'mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k',  # flash attention
    'msbreg-k4_resnet18_1xb512-lars-coslr-100e_cifar10',  # one rank, views made on the device
    'mocov2_resnet50_8xb32-coslr-100e_in1k',  # a model of mmpretrain's kind
    'lewel-m_resnet10_1xb64-24e_garment-scenes',
)
RESULTS = ROOT / 'docs' / 'results' / 'dry_run.json'


ROWS = {Path(row['config']).stem: row for row in json.loads(RESULTS.read_text(encoding='utf-8'))['rows']}


def check(name: str) -> None:
    cfg = Config.fromfile(RECIPES[name])
    record = DryRun(cfg, own_gpus(cfg)).measure()
    # mmpretrain's BYOL and MoCo read the number of their steps and the place in the queue from buffers.
    is_baseline = RECIPES[name].parent.name == 'baselines'
    upstream = ('mmpretrain/models/', 'lewel_plugins/models/baselines/') if is_baseline else ()
    waits = [source for _, source in record.counters.waits if not source.startswith(upstream)]
    assert not waits
    assert not record.unused and not record.low_precision_losses
    if name in ROWS:
        row = ROWS[name]
        actual = (round(needed_memory(record) / 2**30, 1), len(record.counters.kernels))
        assert actual == (row['gib']['need'], row['calls']), (
            f'{RESULTS.name} is out of date: docs/dry_run.md has the command'
        )


@pytest.mark.sampled(3)
@pytest.mark.parametrize('name', SOME)
def test_a_recipe_passes(name):
    check(name)


@pytest.mark.nightly
@pytest.mark.parametrize('name', [name for name in RECIPES if name not in SOME])
def test_every_recipe_passes(name):
    check(name)


def test_the_results_have_every_recipe_for_imagenet():
    assert set(ROWS) == {name for name in RECIPES if name.endswith('_in1k')}
    for name, row in ROWS.items():
        cfg = Config.fromfile(RECIPES[name])
        assert (row['gpus'], row['batch']) == (own_gpus(cfg), cfg.train_dataloader.batch_size)
        assert row['fits'] and not row['waits'] and not row['unused'] and row['largest_batch'] >= row['batch']


def test_the_page_has_the_figures_of_the_json():
    document = json.loads(RESULTS.read_text(encoding='utf-8'))
    assert RESULTS.with_suffix('.md').read_text(encoding='utf-8') == as_page(document)
