"""``--auto-scale-lr`` keeps the ratios of SMoG's settings."""

from pathlib import Path

import pytest
from mmengine.config import Config

from lewel_plugins.models import GroupSchedule, group_schedule
from lewel_plugins.running import setup

pytestmark = pytest.mark.core

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def recipe(name: str, **options: object) -> Config:
    cfg = Config.fromfile(str(CONFIGS / f'{name}.py'))
    cfg.merge_from_dict(options)
    return cfg


def settings(cfg: Config) -> GroupSchedule:
    (hook,) = cfg.custom_hooks
    return GroupSchedule(hook.interval, cfg.model.momentum, cfg.model.head.num_groups, cfg.model.head.end_beta)


@pytest.mark.parametrize('batch', [64, 128, 512])
def test_a_small_recipe_gets_the_schedule_of_its_batch(batch, capsys):
    cfg = recipe('smog/smog_resnet18_1xb256-lars-coslr-800e_cifar10', **{'train_dataloader.batch_size': batch})
    setup.enable_auto_scale_lr(cfg)
    expected = group_schedule(50000, batch, 800)
    for ours, theirs in zip(settings(cfg)[:3], expected[:3], strict=True):
        assert ours == pytest.approx(theirs, rel=0.06)  # rounded to two digits twice
    assert 1 - settings(cfg).end_beta == pytest.approx(1 - expected.end_beta, rel=0.06)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f'SMoG with {batch} instead of 256 images per step: interval {settings(cfg).interval}, ')
    assert cfg.auto_scale_lr.enable


def test_a_recipe_of_the_paper_keeps_its_own_ratios(monkeypatch):
    """It has an interval of 0.24 % of its steps, not 1 %."""
    monkeypatch.setenv('WORLD_SIZE', '2')
    cfg = recipe('smog/smog_resnet50_8xb512-lars-coslr-400e_in1k', **{'custom_hooks.0.window': 75})
    setup.enable_auto_scale_lr(cfg, 'pytorch')
    assert settings(cfg) == (1200, 0.00025, 750, 0.9975)
    assert cfg.custom_hooks[0].window == 300


def test_at_the_base_batch_only_beta_changes_with_accumulation(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '4')
    cfg = recipe('smog/smog_resnet50_8xb512-lars-coslr-400e_in1k', **{'optim_wrapper.accumulative_counts': 2})
    setup.enable_auto_scale_lr(cfg, 'pytorch')
    # By hand: 0.99 over 300 · (1 − (2999/3000)^4096) = 223.4 hits before, 600 · (1 − (2999/3000)^2048) = 296.9 now.
    assert settings(cfg) == (300, 0.001, 3000, 0.9925)
    assert capsys.readouterr().out.startswith('SMoG with 4096 images per step in 2 iterations: interval 300, ')
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=2048)  # images per iteration
    before = cfg.to_dict()
    setup.enable_auto_scale_lr(cfg, 'pytorch')  # the config that a run has written
    assert cfg.to_dict() == before and not capsys.readouterr().out


def test_nothing_changes_at_the_base_batch_or_for_another_method(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '8')
    for cfg in (
        recipe('smog/smog_resnet50_8xb512-lars-coslr-400e_in1k'),
        recipe('baselines/byol_resnet10_1xb64-24e_garment-scenes'),
    ):
        before = cfg.to_dict()
        setup.enable_auto_scale_lr(cfg, 'pytorch')
        assert cfg.to_dict() == dict(before, auto_scale_lr=dict(before['auto_scale_lr'], enable=True))
    assert not capsys.readouterr().out


def test_a_constant_beta_stays_and_few_groups_are_two():
    cfg = recipe(
        'smog/smog_resnet10_1xb64-24e_garment-scenes',
        **{'model.head.end_beta': None, 'model.head.num_groups': 40, 'train_dataloader.batch_size': 2},
    )
    setup.enable_auto_scale_lr(cfg)
    assert settings(cfg).end_beta is None and settings(cfg).num_groups == 2
