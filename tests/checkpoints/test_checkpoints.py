import os
import pickle
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import save
from helpers.tiny import backbone_config as tiny_backbone
from helpers.tiny import randomize
from helpers.toy_runner import toy_config, toy_runner
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS

from lewel_plugins.checkpoints import (
    backbone_config,
    build_model,
    check_normalization,
    config_of,
    load_backbone,
    model_config,
    normalization,
    read_pretrained,
    read_tensors,
)
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


def test_reads_what_mmengine_writes(tmp_path):
    runner = toy_runner(tmp_path)
    runner.train()
    path = tmp_path / 'iter_4.pth'
    expected = torch.load(path, weights_only=False)
    checkpoint = read_tensors(path)
    assert list(checkpoint['state_dict']) == list(expected['state_dict'])
    for name, tensor in expected['state_dict'].items():
        assert torch.equal(checkpoint['state_dict'][name], tensor), name
    assert checkpoint['meta']['iter'] == 4
    state, saved = checkpoint['optimizer']['state'], expected['optimizer']['state']
    assert all(torch.equal(state[i]['momentum_buffer'], saved[i]['momentum_buffer']) for i in saved)

    model = build_model(config_of(checkpoint, path), checkpoint, path)
    assert not model.training
    for a, b in zip(model.state_dict().values(), runner.model.state_dict().values()):
        assert torch.equal(a, b)


def test_the_model_gets_the_data_preprocessor_that_stands_beside_it(tmp_path):
    """As in the Runner; without it, images would reach the backbone unnormalized."""
    cfg = toy_config(tmp_path)
    del cfg.model['data_preprocessor']
    cfg.data_preprocessor = dict(type='SelfSupDataPreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    state = toy_runner(tmp_path).model.state_dict()
    model = build_model(cfg, dict(state_dict=state), 'x.pth')
    assert model.data_preprocessor.std.flatten().tolist() == [4.0, 5.0, 6.0]
    assert 'data_preprocessor' not in cfg.model
    cfg.model.data_preprocessor = dict(type='SelfSupDataPreprocessor', mean=[0.0] * 3, std=[7.0] * 3)
    assert model_config(cfg)['data_preprocessor']['std'] == [7.0] * 3


class _Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize('zipped', [True, False])
def test_runs_no_code_of_the_file(tmp_path, zipped):
    tensors = dict(a=torch.arange(3), b=torch.nn.Parameter(torch.ones(2, 2).half()))
    content = dict(state_dict=tensors, meta=dict(bad=_Malicious(tmp_path / 'hacked'), good=[1, 'x']))
    torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=zipped)
    checkpoint = read_tensors(tmp_path / 'x.pth')
    assert not (tmp_path / 'hacked').exists()
    assert torch.equal(checkpoint['state_dict']['a'], tensors['a'])
    assert torch.equal(checkpoint['state_dict']['b'], tensors['b'])
    assert checkpoint['meta']['good'] == [1, 'x']


def test_errors_name_the_file(tmp_path):
    with pytest.raises(SetupError, match="checkpoint '.*none.pth' does not exist"):
        read_tensors(tmp_path / 'none.pth')
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'pickle.pth').write_bytes(pickle.dumps([1]))
    for name in ('text.pth', 'pickle.pth'):
        with pytest.raises(SetupError, match=f'{name} cannot be read, it is damaged or not a checkpoint'):
            read_tensors(tmp_path / name)
    torch.save(dict(a=torch.ones(1)), tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='bare.pth is not a checkpoint of a training: it has no state_dict'):
        read_tensors(tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='x.pth holds no config'):
        config_of(dict(meta={}), 'x.pth')
    with pytest.raises(SetupError, match="x.pth does not fit the config's model: .*backbone.conv1.weight"):
        build_model(toy_config(tmp_path), dict(state_dict={}), 'x.pth')


def state_of(backbone):
    return {f'backbone.{name}': tensor.clone() for name, tensor in backbone.state_dict().items()}


def test_every_tensor_is_loaded(tmp_path):
    source, target = randomize(MODELS.build(tiny_backbone()), 1), MODELS.build(tiny_backbone())
    path = save(
        tmp_path / 'a.pth', {**state_of(source), 'neck.weight': torch.ones(2), 'teacher.backbone.x': torch.ones(1)}
    )
    assert load_backbone(target, path) == len(source.state_dict()) == 6
    assert all(torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values()))


def test_what_is_missing_is_listed_and_nothing_is_loaded(tmp_path):
    source, target = randomize(MODELS.build(tiny_backbone()), 1), MODELS.build(tiny_backbone())
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    state = state_of(source)
    del state['backbone.norm.running_mean'], state['backbone.norm.bias']
    state['backbone.conv.weight'] = torch.ones(8, 3, 5, 5)
    state['backbone.extra'] = torch.ones(1)
    with pytest.raises(SetupError) as error:
        load_backbone(target, save(tmp_path / 'a.pth', state))
    for text in (
        'it lacks 2 tensors (norm.bias, norm.running_mean)',
        'it has 1 tensor with another shape (conv.weight (8, 3, 5, 5), not (8, 3, 3, 3))',
        'it has 1 tensor that the network lacks (extra)',
        'a TinyBackbone of 6 tensors',
    ):
        assert text in str(error.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())
    with pytest.raises(
        SetupError, match="no tensor whose name starts with 'backbone.'"
    ):  # a teacher's backbone is not the online one
        load_backbone(target, save(tmp_path / 'b.pth', {f'teacher.{k}': v for k, v in state_of(source).items()}))


def test_backbone_of_trainings_and_of_exports(tmp_path):
    text = "model = dict(type='X', backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained')))"
    assert backbone_config(dict(meta=dict(cfg=text)), 'a') == dict(type='ResNet', depth=18)
    assert backbone_config(dict(meta=dict(backbone=dict(type='ResNet', depth=34))), 'a') == dict(
        type='ResNet', depth=34
    )
    with pytest.raises(SetupError, match='describes a model without a backbone: X'):
        backbone_config(dict(meta=dict(cfg="model = dict(type='X')")), 'a')


@pytest.mark.parametrize(
    ('preprocessor', 'dataset', 'expected'),
    [
        (dict(to_rgb=True), {}, True),
        (dict(to_rgb=False), {}, False),
        (dict(bgr_to_rgb=True), {}, True),
        (dict(type='SelfSupDataPreprocessor'), {}, False),
        (dict(type='lewel_plugins.BatchViews'), {}, True),
        (dict(type='lewel_plugins.BatchViews', to_rgb=False), {}, False),
        (dict(to_rgb=False), dict(type='CIFAR10'), None),  # which delivers RGB
        (dict(to_rgb=False), dict(type='RepeatDataset', dataset=dict(type='mmpretrain.CIFAR100')), None),
        (dict(to_rgb=False), dict(type='lewel_plugins.CIFAR10'), False),
        (dict(to_rgb=False), 'x', False),
    ],
)
def test_the_order_of_channels_belongs_to_the_normalization(preprocessor, dataset, expected):
    values = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    text = Config(
        dict(
            model=dict(type='X'),
            data_preprocessor=dict(values, **preprocessor),
            train_dataloader=dict(dataset=dataset),
        )
    ).pretty_text
    order = {} if expected is None else dict(to_rgb=expected)
    assert normalization(dict(meta=dict(cfg=text))) == {**values, **order}


def test_the_order_of_channels_of_an_export_and_of_gray_images():
    values = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    for order in ({}, dict(to_rgb=False), dict(to_rgb=True)):
        assert normalization(dict(meta=dict(data_preprocessor=dict(values, **order)))) == {**values, **order}
    assert normalization(dict(meta=dict(data_preprocessor=dict(values, to_rgb=None)))) == values
    gray = dict(mean=[1.0], std=[2.0])
    assert normalization(dict(meta=dict(data_preprocessor=dict(gray, to_rgb=False)))) == gray


@pytest.mark.parametrize('converts', [True, False])
def test_a_model_must_have_the_order_of_channels_of_the_checkpoint(converts):
    values = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    model = torch.nn.Module()
    model.data_preprocessor = ImgDataPreprocessor(bgr_to_rgb=converts, **values)
    check_normalization(dict(meta=dict(data_preprocessor=dict(values, to_rgb=converts))), 'a.pth', model)
    check_normalization(dict(meta=dict(data_preprocessor=values)), 'a.pth', model)
    with pytest.raises(SetupError, match=f'a.pth was trained with to_rgb={not converts}, but .* to_rgb={converts}'):
        check_normalization(dict(meta=dict(data_preprocessor=dict(values, to_rgb=not converts))), 'a.pth', model)


HOSTILE = {
    'call': "import os\nos.mkdir({0!r})\nmodel = dict(type='X')",
    'argument': "model = dict(type='X', backbone=dict(type='ResNet', depth=__import__('os').mkdir({0!r})))",
    'unpacked': "model = dict(type='X', **__import__('os').mkdir({0!r}))",
    'item': "model = [__import__('os').mkdir({0!r})]",
    'key': "model = {{__import__('os').mkdir({0!r}): 1}}",
    'formatted': 'model = f\'{{__import__("os").mkdir({0!r})}}\'',
    'template': "model = '{{{{ fileDirname }}}}'[__import__('os').mkdir({0!r})]",
}


@pytest.mark.parametrize('text', HOSTILE.values(), ids=HOSTILE)
def test_a_config_is_read_and_not_run(tmp_path, text):
    file, hacked = tmp_path / 'a.pth', tmp_path / 'hacked'
    save(file, state_of(MODELS.build(tiny_backbone())), text.format(str(hacked)))
    torch.load(file, weights_only=True)  # for torch it is text like any other
    checkpoint = read_tensors(file)
    for read in (
        lambda: config_of(checkpoint, file),
        lambda: backbone_config(checkpoint, file),
        lambda: normalization(checkpoint),
    ):
        with pytest.raises(SetupError, match='holds a config with more than plain values, which is not run'):
            read()
    assert not hacked.exists()


@pytest.mark.parametrize(
    'type_',
    ['os.mkdir', 'os', 'mmengine.mkdir_or_exist', 'mmengine.utils.path.mkdir_or_exist', 'planted.Thing', 'planted'],
)
@pytest.mark.parametrize('nested', [False, True])
def test_a_type_that_is_no_class_of_a_registry_is_not_imported_or_called(tmp_path, monkeypatch, type_, nested):
    """mmengine builds ``dict(type='os.mkdir', path=…)`` by importing ``os`` and calling ``mkdir``."""
    (tmp_path / 'planted').mkdir()
    (tmp_path / 'planted' / '__init__.py').write_text(f'import os\nos.mkdir({str(tmp_path / "hacked")!r})\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = dict(type=type_, **{'path' if type_.startswith('os') else 'dir_name': str(tmp_path / 'hacked')})
    bad = dict(type='ResNet', depth=18, norm_cfg=[bad]) if nested else bad
    for meta in (
        dict(cfg=f'model = dict(type="ImageClassifier", backbone={bad!r})'),
        dict(cfg=f'custom_imports = dict(imports=["planted"])\nmodel = dict(type="ImageClassifier", backbone={bad!r})'),
        dict(backbone=bad),
    ):
        with pytest.raises(SetupError, match=f"has the type '{type_}', which is in no registry"):
            MODELS.build(backbone_config(dict(meta=meta), 'a.pth'))
        if 'cfg' in meta:
            with pytest.raises(SetupError, match='which is in no registry'):
                build_model(config_of(dict(meta=meta), 'a.pth'), dict(state_dict={}), 'a.pth')
    with pytest.raises(SetupError, match="names the scope 'planted'"):
        backbone_config(dict(meta=dict(backbone=dict(type='ResNet', _scope_='planted'))), 'a.pth')
    with pytest.raises(SetupError, match="names the scope 'planted'"):
        config_of(dict(meta=dict(cfg="default_scope = 'planted'\nmodel = dict(type='ImageClassifier')")), 'a.pth')
    with pytest.raises(SetupError, match='has trust_remote_code=True, so nothing is built'):
        remote = dict(type='ResNet', norm_cfg=dict(type='BN', trust_remote_code=True))
        backbone_config(dict(meta=dict(backbone=remote)), 'a.pth')
    loader = f'val_dataloader = dict(dataset={bad!r})'
    config_of(dict(meta=dict(cfg=loader)), 'a.pth')  # because nothing builds it
    with pytest.raises(SetupError, match='which is in no registry'):
        config_of(dict(meta=dict(cfg=loader)), 'a.pth', 'val_dataloader')
    assert not (tmp_path / 'hacked').exists()


def test_types_of_all_packages_are_known():
    for type_, scope in (
        ('ResNet', None), ('mmpretrain.ResNet', None), ('mmpretrain.models.backbones.resnet.ResNet', None),
        ('ResNet', 'mmpretrain'), ('lewel_plugins.ResNet10', None), ('BN', None),
    ):  # fmt: skip
        backbone = dict(type=type_, **({'_scope_': scope} if scope else {}))
        assert backbone_config(dict(meta=dict(backbone=backbone)), 'a') == backbone


def test_a_config_is_that_of_mmengine():
    content = dict(
        model=dict(type='ImageClassifier', lrs=[1e-3, -2.5, 3], sizes=((1, 2), (3,)), empty=[], none=None, on=True),
        data_preprocessor={'mean': [1.0], 'not an identifier': {'a-b': 1, 2: 'two'}},
        name="it's",
    )
    text = Config(content).pretty_text
    assert config_of(dict(meta=dict(cfg=text)), 'a').to_dict() == Config.fromstring(text, '.py').to_dict() == content


@pytest.mark.parametrize(
    'name',
    [
        'lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py',
        'mpcl/mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k.py',
        'smog/smog_swin-tiny_16xb256-adamw-coslr-400e_in1k.py',
        'benchmarks/mmdetection/coco/mask-rcnn_r50-c4_moco-ms-1x_coco.py',
    ],
)
def test_configs_of_this_repository_are_read(name):
    if 'mmdetection' in name:
        pytest.importorskip('mmdet.datasets')
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs' / name)
    read = config_of(dict(meta=dict(cfg=cfg.pretty_text)), name, 'val_dataloader', 'val_cfg', 'test_dataloader')
    assert read.to_dict() == cfg.to_dict()


def test_a_backbone_reads_no_further_file():
    """A nested ``init_cfg`` would have mmengine load the file that it names."""
    bad = dict(type='Pretrained', checkpoint='planted.pth')
    backbone = dict(type='ResNet', depth=18, norm_cfg=dict(type='BN', init_cfg=[bad]), init_cfg=bad)
    config = backbone_config(dict(meta=dict(backbone=backbone)), 'a')
    assert config == dict(type='ResNet', depth=18, norm_cfg=dict(type='BN', init_cfg=None))


def test_what_is_named_by_address_runs_no_code_either(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    file = tmp_path / 'hub' / 'checkpoints' / 'net-0123abcd.pth'
    file.parent.mkdir(parents=True)
    content = {'backbone.a': torch.arange(3), 'bad': _Malicious(tmp_path / 'hacked')}
    torch.save(content, file)
    monkeypatch.setattr(
        'lewel_plugins.checkpoints.reading.get_torchvision_models', lambda: {'net': 'https://x.org/net-0123abcd.pth'}
    )
    for address in ('torchvision://net', 'https://x.org/net-0123abcd.pth'):
        _, state = read_pretrained(address, 'backbone')
        assert list(state) == ['a'] and torch.equal(state['a'], torch.arange(3))
    assert not (tmp_path / 'hacked').exists()
    for address, message in (
        ('torchvision://none', "torchvision has no weights 'none'"),
        ('open-mmlab://x', 'open-mmlab://x cannot be read from this kind of address: download it'),
    ):
        with pytest.raises(SetupError, match=message):
            read_pretrained(address)
