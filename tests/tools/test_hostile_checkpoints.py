"""A checkpoint whose pickle makes a folder is given to every command that reads one; no folder appears."""

import functools
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.tool_runs import ROOT, TEST, TRAIN, run, write_config
from helpers.toy_runner import toy_config, toy_runner
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.checkpoints.unpickling import Placeholder
from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes

TOOLS = ROOT / 'tools'
LINEAR = ROOT / 'configs/benchmarks/linear/lewel-b-linear_1xb256-steplr-50e_garment-scenes.py'
FCN = ROOT / 'configs/benchmarks/mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py'
PLANTED = 'planted'


class Hostile:
    """Makes a folder where the process runs when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.makedirs, (PLANTED, 0o777, True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Make checkpoints of the toy model and of a ResNet-10, configs for them, and a few scenes."""
    folder = tmp_path_factory.mktemp('hostile')
    runner = toy_runner(folder / 'run', max_iters=2)
    runner.train()
    plant(folder / 'run' / 'iter_2.pth', folder / 'toy.pth', cfg=toy_config('').pretty_text)
    init_default_scope('mmpretrain')
    state = MODELS.build(dict(type='lewel_plugins.ResNet10')).state_dict()
    backbone = dict(
        meta=dict(backbone=dict(type='lewel_plugins.ResNet10')),
        state_dict={f'backbone.{name}': value for name, value in state.items()},
    )
    torch.save(backbone, folder / 'plain.pth')
    plant(folder / 'plain.pth', folder / 'resnet10.pth')
    write_config(folder / 'toy.py')
    init = dict(type='Pretrained', checkpoint='toy.pth', prefix='backbone')
    write_config(folder / 'init.py', **{'model.backbone.init_cfg': init})
    make_scenes(SceneConfig(num_train=24, num_val=12), ROOT / 'data' / 'fashion_mnist', folder / 'single', 1)
    multi = SceneConfig(kind='multi', size=64, num_train=8, num_val=4, scale=(0.3, 0.6), clutter=0.2)
    make_scenes(multi, ROOT / 'data' / 'fashion_mnist', folder / 'data' / 'garment_scenes_transfer', 1)
    (folder / 'suite.py').write_text(f'linear = {str(LINEAR)!r}\nlrs = (0.4,)\nknn = dict(k=(1,), temperature=0.07)\n')
    return folder


def plant(source: Path, target: Path, **meta: object) -> None:
    checkpoint = torch.load(source, weights_only=False)
    checkpoint['meta'].update(meta, object=Hostile())
    torch.save(checkpoint, target)


LOADERS = [
    f'{name}_dataloader.{what}'
    for name in ('train', 'val')
    for what in ('num_workers=0', 'persistent_workers=False')
]  # fmt: skip
SCENES = [
    *(f'{name}.data_root=single' for name in ('train_dataloader.dataset.dataset', 'val_dataloader.dataset')),
    *LOADERS,
    'train_cfg.max_epochs=1',
]
# Command, and what it prints once it has read the checkpoint.
COMMANDS = {
    'resume': ([TRAIN, 'toy.py', '--resume', 'toy.pth'], 'error: toy.pth holds an object of the type os.makedirs'),
    'load_from': ([TRAIN, 'toy.py', '--cfg-options', 'load_from=toy.pth'], 'Load checkpoint from toy.pth'),
    'init_cfg': ([TRAIN, 'init.py'], 'load backbone in model from: toy.pth'),
    'test': ([TEST, 'toy.py', 'toy.pth'], 'knn/top1'),
    'pictures': (['analysis/embedding_map.py', 'toy.py', 'toy.pth', '--max-images', '8', '--out', 'a.png'], 'a.png'),
    'export': (['export_backbone.py', 'toy.pth', '--out', 'exported.pth'], 'tensors ('),
    'import': (
        ['import_backbone.py', 'resnet10.pth', '--from', 'timm', '--arch', 'resnet50', '--out', 'x'],
        'pth cannot be',
    ),
    'convert': (['-m', 'lewel_plugins.checkpoints.convert', 'toy.pth', 'new.pth'], 'the type os.makedirs'),
    'transfer': (
        ['transfer.py', 'resnet10.pth', str(FCN), '--cfg-options', 'train_cfg.max_iters=1', *LOADERS],
        'all 72 tensors of',
    ),
    'linear': (
        ['benchmarks/classification.py', str(LINEAR), 'resnet10.pth', '--cfg-options', *SCENES],
        'accuracy/top1',
    ),
    'evaluate': (
        ['evaluate.py', 'suite.py', 'resnet10.pth', '--out', 'out', '--cfg-options', *SCENES],
        'top1_k1',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', COMMANDS)
def test_no_command_runs_code_of_a_checkpoint(folder, name):
    words, message = COMMANDS[name]
    script = words[:1] if words[0] == '-m' else [str(TOOLS / words[0])]
    done = run(sys.executable, *script, *words[1:], cwd=folder)
    assert message in done.stdout, done.stdout[-4000:]
    assert not (folder / PLANTED).exists(), done.stdout[-4000:]


@pytest.fixture
def address(folder) -> Iterator[str]:
    """Serve the checkpoints by HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


PROGRAM = """
import mmengine.runner.checkpoint as loader
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from lewel_plugins.running.entry_point import run_main

def main():
    loader.get_torchvision_models = lambda: dict(toy={url!r})
    loader.get_external_models = lambda: dict(toy={url!r})
    for path in ({url!r}, 'torchvision://toy', 'openmmlab://toy', 'open-mmlab://toy', 'toy.pth'):
        print(path, len(CheckpointLoader.load_checkpoint(path, 'cpu')['state_dict']), 'tensors')
    for options in (dict(weights_only=False), dict(), dict(map_location='cpu', mmap=True)):
        print(type(torch.load('toy.pth', **options)['meta']['object']).__name__)

run_main(main)
"""


def test_addresses_are_downloaded_and_run_no_code(folder, address):
    program = PROGRAM.format(url=f'{address}/toy.pth')
    done = run(sys.executable, '-c', program, cwd=folder, TORCH_HOME='hub', no_proxy='127.0.0.1')
    expected = len(torch.load(folder / 'run' / 'iter_2.pth', weights_only=False)['state_dict'])
    assert done.returncode == 0 and done.stdout.count(f' {expected} tensors') == 5, done.stdout[-4000:]
    assert done.stdout.count(Placeholder.__name__) == 3
    assert not (folder / PLANTED).exists()


def test_trusted_code_runs(folder, tmp_path):
    """The checkpoint would make the folder; ``--trust`` is for those who know its author."""
    longer = ('--cfg-options', 'train_cfg.max_iters=3')
    command = (TRAIN, str(folder / 'toy.py'), '--resume', str(folder / 'toy.pth'), '--trust', '--work-dir', 'new')
    done = run(sys.executable, *command, *longer, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert (tmp_path / PLANTED).is_dir()
