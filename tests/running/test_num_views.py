"""The option ``num_views`` of MSBReg's recipes."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.errors import SetupError
from lewel_plugins.running import setup
from lewel_plugins.running.config_sources import COMMAND_LINE, ConfigSources
from lewel_plugins.running.num_views import check_num_views, expand_num_views

pytestmark = pytest.mark.core

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MSBREG = CONFIGS / 'msbreg'
LINKED = sorted(MSBREG.glob('*-k*lars*.py'))


def resolve(name: str, folder: Path = MSBREG, **options: object) -> Config:
    cfg = Config.fromfile(folder / f'{name}.py')
    cfg.merge_from_dict(expand_num_views(cfg, {key.replace('__', '.'): value for key, value in options.items()}))
    return cfg


@pytest.mark.parametrize('data', ['1xb512-lars-coslr-320e_stl10', '8xb64-lars-coslr-320e_in100'])
def test_the_option_makes_the_recipe_of_another_k(data):
    """Of views on the device and in the workers."""
    eight = resolve(f'msbreg-k4_resnet18_{data}', num_views=8)
    assert eight.to_dict() == {**resolve(f'msbreg-k8_resnet18_{data}').to_dict(), **differing(eight)}
    check_num_views(eight)


def differing(cfg: Config) -> dict:
    """Return variables of a file that set nothing themselves."""
    return {name: cfg[name] for name in ('train_pipeline',) if name in cfg}


@pytest.mark.parametrize('path', LINKED, ids=lambda path: path.stem)
def test_the_rate_follows_k_in_every_recipe(path):
    """Sec. 7.1. The recipe says batch and K in its name."""
    cfg = resolve(path.stem)
    gpus, images = map(int, re.search(r'_(\d+)xb(\d+)-', path.stem).groups())
    assert cfg.num_views == int(re.search('-k([0-9])', path.stem)[1])
    assert cfg.optim_wrapper.optimizer.lr == cfg.base_lr * gpus * images / 256 * cfg.num_views
    cfg.merge_from_dict(expand_num_views(cfg, dict(num_views=3)))
    assert cfg.optim_wrapper.optimizer.lr == cfg.base_lr * gpus * images / 256 * 3
    check_num_views(cfg)


def test_a_rate_among_the_options_takes_precedence():
    name = 'msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100'
    cfg = resolve(name, num_views=8, optim_wrapper__optimizer__lr=5.0)
    assert cfg.optim_wrapper.optimizer.lr == 5.0
    cfg = resolve(name, num_views=8, optim_wrapper__optimizer=dict(_delete_=True, type='SGD', lr=0.3))
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.3)
    check_num_views(cfg)


def test_garment_recipes_keep_their_rate():
    eight = resolve('msbreg-k4_resnet10_1xb64-24e_garment-scenes', num_views=8)
    assert eight.to_dict() == resolve('msbreg-k8_resnet10_1xb64-24e_garment-scenes').to_dict()


def test_views_without_their_rate_are_refused():
    cfg = Config.fromfile(MSBREG / 'msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py')
    cfg.merge_from_dict({'train_dataloader.dataset.dataset.pipeline.0.num_views': 2})
    with pytest.raises(SetupError, match='num_views = 4, .* makes 2 views: set only --cfg-options num_views=2,'):
        setup.prepare(cfg, 'none')


@pytest.mark.parametrize(
    ('folder', 'name', 'K', 'message'),
    [
        ('msbreg', 'msbreg-k4_resnet10_1xb64-24e_garment-scenes', 1, 'integer of at least 2, got 1'),
        ('msbreg', 'msbreg-k4_resnet10_1xb64-24e_garment-scenes', 2.5, 'integer of at least 2, got 2.5'),
        ('baselines', 'byol_resnet10_1xb64-24e_garment-scenes', 4, 'num_views=4: only .*MSBReg.* not one of BYOL'),
    ],
)
def test_what_cannot_be_set_is_refused(folder, name, K, message):
    with pytest.raises(SetupError, match=message):
        resolve(name, CONFIGS / folder, num_views=K)


def test_views_of_two_kinds_are_refused():
    cfg = Config.fromfile(MSBREG / 'msbreg-k4_resnet10_1xb64-24e_garment-scenes.py')
    cfg.data_preprocessor.views[1].solarize = 0.5
    with pytest.raises(SetupError, match='views of different kinds'):
        expand_num_views(cfg, dict(num_views=3))


def test_a_kind_that_the_pipeline_names_twice_counts_once():
    name = 'msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100'
    cfg = Config.fromfile(MSBREG / f'{name}.py')
    load = cfg.train_dataloader.dataset.dataset.pipeline[0]
    load.update(views=[load.views[0]] * 2, num_views=2)
    check_num_views(cfg)  # 2 of each are 4
    cfg.merge_from_dict(expand_num_views(cfg, dict(num_views=8)))
    assert cfg.train_dataloader == resolve(name, num_views=8).train_dataloader
    check_num_views(cfg)


def test_comparisons_and_listings_resolve_it_as_well(tmp_path):
    recipe = MSBREG / 'msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
    (tmp_path / 'it.py').write_text(
        f"base = {str(recipe)!r}\nrows = [dict(name='K = 8', options=dict(num_views=8))]\nmetrics = ['knn/top1']\n"
    )
    (run,) = plan_runs(load_comparison(tmp_path / 'it.py'), [0], tmp_path, Path('tools/train.py'))
    assert run.config.optim_wrapper.optimizer.lr == 6.4
    sources = ConfigSources(str(recipe), dict(num_views=8))
    assert sources.config.train_dataloader.dataset.dataset.pipeline[0].num_views == 8
    assert str(sources.source('optim_wrapper', 'optimizer', 'lr')) == COMMAND_LINE
