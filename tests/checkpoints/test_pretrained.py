import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import save
from helpers.tool_runs import environment
from mmengine.model import initialize
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

import lewel_plugins
from lewel_plugins.checkpoints import Preprocess, encode_safetensors, local_file, read_tensors, released
from lewel_plugins.errors import SetupError
from lewel_plugins.models import classifiers  # noqa: F401

pytestmark = pytest.mark.core

BACKBONE = dict(type='lewel_plugins.ResNet10', base_channels=2)
META = dict(
    backbone=BACKBONE, data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True), input_size=32
)


def weights() -> dict[str, torch.Tensor]:
    """Return the tensors of a narrow ResNet-10, the same in each call."""
    torch.manual_seed(1)
    return {f'backbone.{name}': value for name, value in MODELS.build(dict(BACKBONE)).state_dict().items()}


def write(path: Path, tensors: dict[str, torch.Tensor] | None = None, **meta: object) -> Path:
    """Write an exported backbone, with other facts in its metadata."""
    metadata = {name: json.dumps(value) for name, value in {**META, **meta}.items() if value is not None}
    path.write_bytes(encode_safetensors(weights() if tensors is None else tensors, metadata))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return the folder of two weights, which stands in for that of the package."""
    for name in ('one', 'two'):
        write(tmp_path / f'{name}.safetensors')
    monkeypatch.setattr(released, 'FOLDER', tmp_path)
    return tmp_path


def test_one_line(folder):
    assert lewel_plugins.list_pretrained() == ['one', 'two']
    backbone = lewel_plugins.load_pretrained('one')
    assert type(backbone).__name__ == 'ResNet10' and not any(module.training for module in backbone.modules())
    assert all(torch.equal(weights()[f'backbone.{name}'], value) for name, value in backbone.state_dict().items())
    assert backbone.preprocess == Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 32)


def test_a_file_and_an_address_name_weights_too(folder, tmp_path):
    torch.save(dict(state_dict=weights(), meta=META), tmp_path / 'exported.pth')
    for name in (tmp_path / 'exported.pth', str(folder / 'two.safetensors'), 'lewel_plugins://two'):
        assert lewel_plugins.load_pretrained(name).preprocess.size == 32


def test_an_unknown_name_lists_the_names(folder, monkeypatch):
    message = "^lewel_plugins has no weights 'three'; there are one, two$"
    for function, name in ((lewel_plugins.load_pretrained, 'three'), (local_file, 'lewel_plugins://three')):
        with pytest.raises(SetupError, match=message):
            function(name)
    with pytest.raises(SetupError, match="no weights '../x'"):
        lewel_plugins.load_pretrained('lewel_plugins://../x')
    for name, problem in (
        ('nope.pth', 'does not exist'),
        ('no/two', 'does not exist'),
        (folder, 'is a folder; name a'),
    ):
        with pytest.raises(SetupError, match=f'^{name} {problem}'):
            lewel_plugins.load_pretrained(name)
    monkeypatch.setattr(released, 'FOLDER', folder / 'none')
    with pytest.raises(SetupError, match="no weights 'one'; there are none"):
        lewel_plugins.load_pretrained('one')


def test_the_default_scope_stays(folder, monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())
    lewel_plugins.load_pretrained('one')
    assert DefaultScope.get_current_instance() is None


def test_init_cfg_and_checkpoints_take_the_name(folder):
    backbone = MODELS.build(dict(BACKBONE))
    initialize(backbone, dict(type='Pretrained', checkpoint='lewel_plugins://one', prefix='backbone.'))
    assert all(torch.equal(weights()[f'backbone.{name}'], value) for name, value in backbone.state_dict().items())
    assert read_tensors('lewel_plugins://one')['meta']['backbone'] == BACKBONE
    preprocessor = dict(META['data_preprocessor'], type='lewel_plugins.BatchViews')
    head = dict(type='LinearClsHead', num_classes=2)
    settings = dict(checkpoint='lewel_plugins://one', head=head, data_preprocessor=preprocessor)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        classifier = MODELS.build(dict(type='lewel_plugins.PretrainedClassifier', **settings))
    classifier.init_weights()
    assert torch.equal(classifier.backbone.conv1.weight, weights()['backbone.conv1.weight'])


HOSTILE = {
    'unknown type': (
        dict(backbone=dict(type='os.system', command='x')),
        "the type 'os.system', which is in no registry",
    ),
    'other arguments': (dict(backbone=dict(BACKBONE, deep=3)), 'cannot be built: .*deep'),
    'other width': (dict(backbone=dict(BACKBONE, base_channels=4)), 'does not hold a ResNet10'),
    'no network': (dict(backbone=None), 'holds no config'),
    'network of text': (dict(backbone='ResNet10'), 'holds no config'),
    'no mean': (dict(data_preprocessor=None), 'does not record the mean and std'),
    'mean of text': (dict(data_preprocessor='x'), 'does not record the mean and std'),
    'mean of texts': (dict(data_preprocessor=dict(mean=['a'], std=[1], to_rgb=True)), 'no numbers'),
    'gray': (dict(data_preprocessor=dict(mean=[1], std=[1], to_rgb=True)), 'mean and std of three channels'),
    'bgr': (dict(data_preprocessor=dict(mean=[1] * 3, std=[1] * 3, to_rgb=False)), 'does not record to_rgb=True'),
    'size of text': (dict(input_size='large'), "records the input size 'large'"),
    'negative size': (dict(input_size=-1), 'records the input size -1'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_metadata_are_one_error(tmp_path, name):
    meta, message = HOSTILE[name]
    with pytest.raises(SetupError, match=message):
        lewel_plugins.load_pretrained(write(tmp_path / 'x.safetensors', **meta))


def test_damaged_files_are_one_line(tmp_path):
    file = write(tmp_path / 'x.safetensors')
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SetupError, match='x.safetensors cannot be read, it is damaged') as error:
        lewel_plugins.load_pretrained(file)
    assert '\n' not in str(error.value)
    tensors = weights()
    del tensors['backbone.bn1.bias']
    with pytest.raises(SetupError, match=r'it lacks 1 tensor \(bn1.bias\)'):
        lewel_plugins.load_pretrained(write(file, tensors))
    with pytest.raises(SetupError, match='x.pth holds no config'):
        lewel_plugins.load_pretrained(save(tmp_path / 'x.pth', weights(), cfg=None))


def test_preprocess_normalizes_and_resizes():
    preprocess = Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 8)
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = torch.from_numpy((array - np.float32([1, 2, 3])) / np.float32([4, 5, 6])).permute(2, 0, 1)
    image, tensor = Image.fromarray(array), torch.from_numpy(array).permute(2, 0, 1)
    for images in (image, [image], tensor, tensor[None]):
        x = preprocess(images)
        assert x.shape == (1, 3, 8, 8) and x.dtype == torch.float32 and torch.equal(x[0], expected)
    assert preprocess([image, image.resize((20, 10))]).shape == (2, 3, 8, 8)
    gray = preprocess(Image.new('L', (40, 30), 100))
    assert torch.allclose(gray[0, :, 0, 0], torch.tensor([99 / 4, 98 / 5, 97 / 6])) and gray.shape == (1, 3, 8, 8)
    assert Preprocess((0.0,) * 3, (1.0,) * 3)(torch.zeros(2, 3, 5, 7, dtype=torch.uint8)).shape == (2, 3, 5, 7)


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        (torch.zeros(2, 3, 8, 8), 'got float32 (2, 3, 8, 8)'),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), 'got uint8 (2, 8, 8, 3)'),
        (torch.zeros(8, 8, dtype=torch.uint8), 'got uint8 (8, 8)'),
        (['a.jpg'], 'got str'),
    ],
)
def test_preprocess_refuses_other_images(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Preprocess((0.0,) * 3, (1.0,) * 3, 8)(images)


def test_the_import_of_the_package_loads_no_library():
    code = (
        'import sys, lewel_plugins\n'
        "print([name for name in ('torch', 'mmengine', 'mmpretrain', 'numpy') if name in sys.modules])\n"
        "print('load_pretrained' in dir(lewel_plugins))\n"
    )
    done = subprocess.run([sys.executable, '-c', code], env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines() == ['[]', 'True'], done.stderr
    with pytest.raises(AttributeError, match="module 'lewel_plugins' has no attribute 'load'"):
        lewel_plugins.load  # noqa: B018
