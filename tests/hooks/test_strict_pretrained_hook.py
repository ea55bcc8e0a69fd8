"""A training stops unless its backbone has the tensors of the checkpoint."""

import pytest
import torch
from helpers.toy_runner import toy_config, toy_runner
from mmengine.model import ExponentialMovingAverage, Sequential
from torch import nn

from lewel_plugins.errors import SetupError
from lewel_plugins.hooks import StrictPretrainedHook
from lewel_plugins.hooks.strict_pretrained_hook import pretrained_modules

pytestmark = pytest.mark.core


@pytest.fixture
def pretrained(tmp_path):
    """Return the state dict and the path of a checkpoint whose backbone differs from a new one."""
    state = toy_runner(tmp_path / 'old', **classifier(tmp_path)).model.backbone.state_dict()
    generator = torch.Generator().manual_seed(1)
    state = {
        name: torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + 3
        for name, tensor in state.items()
    }
    return {f'backbone.{name}': tensor for name, tensor in state.items()}, tmp_path / 'pretrained.pth'


def classifier(tmp_path, init=None, preprocessor=None) -> dict:
    """Return changes that turn the toy config into a fine-tuning."""
    backbone = dict(toy_config(tmp_path).model.backbone, init_cfg=init)
    model = dict(
        _delete_=True,
        type='ImageClassifier',
        data_preprocessor=dict(preprocessor or {}, type='ClsDataPreprocessor'),
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=4, in_channels=64),
    )
    return {'model': model, 'train_dataloader.dataset.views': 0}


def save(state: dict, path, **meta) -> None:
    torch.save(dict(state_dict=state, meta=meta), path)


def start(tmp_path, path, preprocessor=None, **hook):
    """Return a runner whose backbone starts from the file."""
    init = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    hooks = [dict(hook, type='lewel_plugins.StrictPretrainedHook')]
    runner = toy_runner(tmp_path / 'new', 1, custom_hooks=hooks, **classifier(tmp_path, init, preprocessor))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    return runner


def check(runner) -> None:
    """Do what the Runner does before its first iteration."""
    runner._init_model_weights()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, StrictPretrainedHook))
    hook.before_train(runner)


def test_the_backbone_is_the_checkpoints_bit_for_bit(tmp_path, pretrained):
    state, path = pretrained
    save(state, path)
    runner = start(tmp_path, path)
    check(runner)
    for name, tensor in runner.model.backbone.state_dict().items():
        assert torch.equal(tensor, state[f'backbone.{name}']), name


def test_a_teacher_of_mmpretrain_copies_the_student_before_it_is_compared():
    init = dict(type='Pretrained', checkpoint='a.pth')
    model = nn.Module()
    model.student = Sequential(nn.Linear(2, 2), init_cfg=init)
    model.teacher = ExponentialMovingAverage(model.student)
    assert [name for name, _, _ in pretrained_modules(model)] == ['student']
    nn.init.ones_(model.student[0].weight)
    model.teacher.update_parameters(model.student)
    assert torch.equal(model.teacher.module[0].weight, model.student[0].weight)


def test_a_whole_training_runs(tmp_path, pretrained):
    state, path = pretrained
    positive = {name: tensor.abs() if 'running_var' in name else tensor for name, tensor in state.items()}
    save(positive, path)
    runner = start(tmp_path, path)
    runner.train()
    assert runner.iter == 1


def test_missing_tensors_are_listed(tmp_path, pretrained):
    state, path = pretrained
    missing = ['backbone.layer2.0.conv1.weight', 'backbone.bn1.running_mean']
    save({name: tensor for name, tensor in state.items() if name not in missing}, path)
    runner = start(tmp_path, path)
    with pytest.raises(SetupError) as error:
        runner.train()
    assert 'it lacks 2 tensors (' in str(error.value) and all(name in str(error.value) for name in missing)


def test_counts_that_nothing_uses_may_be_missing(tmp_path, pretrained):
    state, path = pretrained
    save({name: tensor for name, tensor in state.items() if 'num_batches_tracked' not in name}, path)
    check(start(tmp_path, path))


def test_new_layers_may_be_missing_and_others_may_not(tmp_path, pretrained):
    state, path = pretrained
    save({name: tensor for name, tensor in state.items() if not name.startswith('backbone.bn1.')}, path)
    check(start(tmp_path, path, new_layers=['bn1']))
    with pytest.raises(SetupError, match='backbone.bn1.weight'):
        check(start(tmp_path, path, new_layers=['bn']))


def test_unexpected_tensors_are_listed(tmp_path, pretrained):
    state, path = pretrained
    save({**state, 'backbone.layer5.weight': torch.ones(1), 'neck.weight': torch.ones(1)}, path)
    with pytest.raises(SetupError, match=r'it has 1 tensor that the network lacks \(backbone\.layer5\.weight\)$'):
        check(start(tmp_path, path))


def test_other_shapes_and_other_values_are_listed(tmp_path, pretrained):
    state, path = pretrained
    save({**state, 'backbone.conv1.weight': torch.ones(9, 3, 3, 3)}, path)
    with pytest.raises(
        SetupError, match=r'1 tensor with another shape \(backbone\.conv1\.weight \(9, 3, 3, 3\), not \(8,'
    ):
        check(start(tmp_path, path))
    save(state, path)
    runner = start(tmp_path, path)
    runner._init_model_weights()
    with torch.no_grad():
        runner.model.backbone.conv1.weight[0, 0, 0, 0] += 1e-6
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, StrictPretrainedHook))
    with pytest.raises(SetupError, match=r'1 tensor with other values than the network \(backbone\.conv1\.weight\)'):
        hook.before_train(runner)


def test_images_must_be_normalized_as_in_pretraining(tmp_path, pretrained):
    state, path = pretrained
    bgr = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395])
    rgb = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    save(state, path, data_preprocessor=rgb)
    with pytest.raises(SetupError, match='the order of the channels counts, too'):
        check(start(tmp_path, path, bgr))
    check(start(tmp_path, path, rgb))
    with pytest.raises(SetupError, match="the config's data_preprocessor has mean None"):
        check(start(tmp_path, path))
    save(state, path, data_preprocessor=dict(rgb, to_rgb=True))
    check(start(tmp_path, path, dict(rgb, to_rgb=True)))
    with pytest.raises(SetupError, match="trained with to_rgb=True, but the config's data_preprocessor has to_rgb=Fal"):
        check(start(tmp_path, path, rgb))


def test_a_file_without_normalization_is_logged(tmp_path, pretrained, monkeypatch):
    state, path = pretrained
    save(state, path, data_preprocessor=None)
    messages = []
    monkeypatch.setattr(
        'lewel_plugins.checkpoints.loading.print_log', lambda message, **options: messages.append(message)
    )
    check(start(tmp_path, path))
    expected = f"{path} does not record how its images were normalized: the config's mean and std stay unchecked"
    assert messages == [expected]


def test_random_weights_must_be_allowed(tmp_path):
    def random(**hook):
        hooks = [dict(hook, type='lewel_plugins.StrictPretrainedHook')]
        return toy_runner(tmp_path / 'new', 1, custom_hooks=hooks, **classifier(tmp_path))

    with pytest.raises(SetupError, match='no module starts from a checkpoint: name one by model.backbone.init_cfg'):
        random().train()
    runner = random(allow_random=True)
    runner.train()
    assert runner.iter == 1


def test_resumed_runs_are_not_checked(tmp_path, pretrained):
    state, path = pretrained
    save(state, path)
    runner = start(tmp_path, path)
    runner._load_from = 'whole.pth'
    StrictPretrainedHook().before_train(runner)  # otherwise random weights are an error


def test_arguments():
    with pytest.raises(ValueError, match="got the string 'norm'"):
        StrictPretrainedHook('norm')
