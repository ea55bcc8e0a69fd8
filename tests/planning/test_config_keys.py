"""Settings of the user: what a config has a place for, and the nearest setting otherwise."""

import subprocess
import sys

import pytest
from helpers.tool_runs import environment
from test_compose import IMAGES, facts

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import Request, plan
from lewel_plugins.planning.compose import Images, compose
from lewel_plugins.running.command_line import parse_settings

pytestmark = pytest.mark.core


def composed(*words: str, method: str = 'lewel-m'):
    settings = parse_settings(words, '--set')
    return compose(plan(facts(1000, 64, gpus=0), Request(method)), Images(IMAGES, IMAGES), settings=settings)


@pytest.mark.parametrize(
    ('word', 'path', 'value'),
    [
        ('optim_wrapper.optimizer.lr=0.5', ('optim_wrapper', 'optimizer', 'lr'), 0.5),
        ('model.backbone.with_cp=True', ('model', 'backbone', 'with_cp'), True),  # ResNet, from which _CIFAR inherits
        ('env_cfg.cudnn_benchmark=False', ('env_cfg', 'cudnn_benchmark'), False),
        ('env_cfg.dist_cfg.timeout=60', ('env_cfg', 'dist_cfg', 'timeout'), 60),
        ('randomness.deterministic=True', ('randomness', 'deterministic'), True),
        ('optim_wrapper.clip_grad.max_norm=1', ('optim_wrapper', 'clip_grad', 'max_norm'), 1),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult=0', ('optim_wrapper', 'paramwise_cfg', 'norm_decay_mult'), 0),
        ('train_dataloader.prefetch_factor=4', ('train_dataloader', 'prefetch_factor'), 4),
        ('train_cfg.val_begin=2', ('train_cfg', 'val_begin'), 2),
        ('param_scheduler.0.eta_min=0.1', ('param_scheduler', 0, 'eta_min'), 0.1),
        ('val_evaluator.0.max_samples=64', ('val_evaluator', 0, 'max_samples'), 64),
        ('default_hooks.timer=None', ('default_hooks', 'timer'), None),
        ('default_hooks.checkpoint.save_best=auto', ('default_hooks', 'checkpoint', 'save_best'), 'auto'),
        ('default_hooks.ema.type=EMAHook', ('default_hooks', 'ema', 'type'), 'EMAHook'),
        ('custom_hooks.1.priority=LOW', ('custom_hooks', 1, 'priority'), 'LOW'),
        ('compile=True', ('compile',), True),
        ('find_unused_parameters=True', ('find_unused_parameters',), True),
        ('data_preprocessor.mean=1,2,3', ('data_preprocessor', 'mean'), [1, 2, 3]),
    ],
)
def test_settings_that_a_config_has_or_a_constructor_takes(word, path, value):
    node = composed(word)
    for part in path:
        node = node[part]
    assert node == value


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('optim_wraper.optimizer.lr=1', 'unknown setting optim_wraper.optimizer.lr; did you mean optim_wrapper.'),
        ('optim_wrapper.optimizer.lrr=1', 'unknown setting optim_wrapper.optimizer.lrr; did you mean optim_wrapper.'),
        ('optim_wrapper.optimizer.nesterv=True', 'did you mean optim_wrapper.optimizer.nesterov?'),
        ('model.backbone.wth_cp=True', 'did you mean model.backbone.with_cp?'),
        ('model.temperature=1', 'unknown setting model.temperature; did you mean model.head.temperature?'),
        ('env_cfg.foo=1', 'unknown setting env_cfg.foo; env_cfg has cudnn_benchmark, dist_cfg, mp_cfg, resource_limit'),
        ('default_hooks.emma=3', 'unknown setting default_hooks.emma; default_hooks has broken_images, checkpoint, '),
        ('custom_hooks.0.foo=1', 'unknown setting custom_hooks.0.foo; custom_hooks.0 has priority'),
        ('custom_hooks.9.foo=1', 'unknown setting custom_hooks.9.foo; custom_hooks has 3 parts, numbered from 0'),
        ('zzz=1', 'unknown setting zzz; the config has '),
        ('model..x=1', 'unknown setting model..x; model has '),
        ('model.backbone.depth.x=3', 'unknown setting model.backbone.depth.x; model.backbone.depth is 18'),
        ('model=3', '--set model: it is a group of settings, got 3; name one of them, such as model.type'),
        ('custom_hooks=3', '--set custom_hooks: it is a group of settings, got 3; name one of them, such as custom_'),
        ('model.type=LEWEL', "--set model.type: there is no 'LEWEL'"),
        ('optim_wrapper.optimizer.lr=abc', "--set optim_wrapper.optimizer.lr: it takes a number, got 'abc'"),
        ('optim_wrapper.optimizer.lr=nan', '--set optim_wrapper.optimizer.lr: it takes a finite number, got nan'),
        ('optim_wrapper.optimizer.lr=1e400', '--set optim_wrapper.optimizer.lr: it takes a finite number, got inf'),
        ('train_dataloader.drop_last=2', '--set train_dataloader.drop_last: it is True or False, got 2'),
        (
            'train_dataloader.num_workers=0',
            '--set train_dataloader.num_workers: other settings follow from it as well; use --workers',
        ),
        ('train_cfg.max_epochs=3', '--set train_cfg.max_epochs: other settings follow from it as well; use --epochs'),
        ('optim_wrapper.clip_grad=1 optim_wrapper.clip_grad.max_norm=2', 'these settings contradict each other'),
        ('model.neck.scale=[1,2', "--set model.neck.scale: the brackets of '[1,2' do not match"),
        ('model.neck.scale=],[', "--set model.neck.scale: the brackets of '],[' do not match"),
        ('=3', "--set takes KEY=VALUE, got '=3'"),
    ],
)
def test_other_settings_are_refused_with_the_nearest_one(words, message):
    with pytest.raises(SetupError) as caught:
        composed(*words.split())
    assert message in str(caught.value) and '\n' not in str(caught.value)


def test_nothing_is_printed_while_modules_are_imported():
    words = 'from mmengine.registry import DefaultScope; from lewel_plugins.planning.config_keys import find_type; '
    scope = "DefaultScope.get_instance('test', scope_name='mmpretrain'); print(find_type('CustomDataset').__name__)"
    done = subprocess.run([sys.executable, '-c', words + scope], capture_output=True, text=True, env=environment())
    assert done.stdout == 'CustomDataset\n'
