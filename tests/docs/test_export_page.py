"""The lines of docs/export.md load the files that an export writes."""

import importlib
import re

import pytest
import torch
from helpers.checkpoints import make_run
from helpers.tool_runs import ROOT
from mmengine.registry import MODELS, DefaultScope

import lewel_plugins
from lewel_plugins.api.export import export
from lewel_plugins.checkpoints import export as export_room

TEXT = (ROOT / 'docs' / 'export.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'^```python\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL)
IMAGES = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.core


def block(words: str) -> str:
    """Return the one block of the page that has these words, for the network of the tests."""
    (matching,) = (code for code in BLOCKS if words in code)
    return matching.replace('resnet50', 'resnet18')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run, whose exports are not compared while they are written: here the lines of the page load them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_room, '_check', lambda *args: (None, ''))
        yield make_run(tmp_path_factory.mktemp('export') / 'runs' / 'a')


@pytest.fixture(scope='module')
def expected(run):
    """The pooled features of the network that was exported, on normalized images."""
    pytest.importorskip('safetensors')
    network = lewel_plugins.load_pretrained(export(run, 'safetensors', say=lambda line: None))
    with torch.no_grad():
        return network(network.preprocess(IMAGES))[-1].mean((2, 3)), network.preprocess(IMAGES)


def load(run, library: str, code: str, monkeypatch, **names):
    """Export, run the lines of the page in the folder above ``runs``, and return their names."""
    export(run, library, say=lambda line: None)
    monkeypatch.chdir(run.parents[1])
    exec(code, names)
    return names


@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_a_network_of_another_library_has_the_features(run, expected, monkeypatch, library):
    module = pytest.importorskip(library)
    network = load(run, library, block(f'backbone_{library}'), monkeypatch, torch=torch, **{library: module})['network']
    if library == 'torchvision':
        network.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.allclose(network.eval()(expected[1]), expected[0], atol=1e-4)


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet'])
def test_a_config_of_openmmlab_has_the_features(run, expected, monkeypatch, scope):
    pytest.importorskip(scope)
    importlib.import_module(f'{scope}.models')
    config = load(run, 'mmdet', block('init_cfg'), monkeypatch)['model']['backbone']
    with DefaultScope.overwrite_default_scope(scope):
        backbone = MODELS.build(dict(type=f'{scope}.ResNet', depth=18, **config))
        backbone.init_weights()
    backbone.eval()
    with torch.no_grad():
        assert torch.equal(backbone(expected[1])[-1].mean((2, 3)), expected[0])


def test_the_package_and_others_read_safetensors(run, expected, monkeypatch):
    names = dict(lewel_plugins=lewel_plugins, images=IMAGES)
    features = load(run, 'safetensors', block('load_pretrained'), monkeypatch, **names)['features']
    assert torch.equal(features, expected[0])
    importlib.import_module('safetensors.torch')
    names = dict(safetensors=importlib.import_module('safetensors'))
    state = load(run, 'safetensors', block('load_file'), monkeypatch, **names)['state']
    network = lewel_plugins.load_pretrained(run / 'backbone.safetensors')
    assert not any(network.load_state_dict(state))


def test_detectron2_gets_a_file_of_this_name(run, monkeypatch):
    class Node:
        MODEL = type('Node', (), {})()

    load(run, 'detectron2', block('MODEL.WEIGHTS'), monkeypatch, cfg=Node)
    saved = torch.load(Node.MODEL.WEIGHTS, weights_only=True)
    assert saved['matching_heuristics'] is True and 'stem.conv1.weight' in saved['model']


def test_onnxruntime_reads_the_file(run, expected, monkeypatch):
    pytest.importorskip('onnx')
    names = dict(onnxruntime=pytest.importorskip('onnxruntime'), images=expected[1].numpy())
    features = load(run, 'onnx', block('InferenceSession'), monkeypatch, **names)['features']
    assert torch.allclose(torch.from_numpy(features).mean((2, 3)), expected[0], atol=1e-4)


def test_every_library_is_on_the_page():
    assert len(BLOCKS) == 7
    assert all(re.search(rf'\b{library}\b', TEXT) for library in export_room.LIBRARIES)
