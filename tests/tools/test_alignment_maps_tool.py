import json
import sys

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.tool_runs import ROOT, run
from helpers.toy_runner import toy_config
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

MAPS = str(ROOT / 'tools' / 'analysis' / 'alignment_maps.py')
NECK = dict(type='lewel_plugins.LEWELNeck', in_channels=64, hid_channels=16, out_channels=12, num_groups=4)


def _lewel(folder) -> tuple[Config, str]:
    """Write a checkpoint of an untrained LEWEL_B on the toy backbone; return its config and its path."""
    toy = toy_config('')
    config = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='lewel_plugins.LEWELB',
                backbone=toy.model.backbone,
                neck=NECK,
                **tiny.arguments('LEWELB', hid_channels=16),
            ),
            val_dataloader=dict(
                dataset=dict(
                    type='CustomDataset',
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='Resize', scale=(32, 32)),
                        dict(type='PackInputs'),
                    ],
                )
            ),
        )
    )
    torch.manual_seed(0)
    init_default_scope('mmpretrain')  # because another test may have left the scope of mmseg
    model = MODELS.build(config.model, default_args=dict())
    path = folder / 'lewel.pth'
    torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=model.state_dict()), path)
    return config, str(path)


def _images(folder) -> None:
    """Write 12 images of 64 px, with an object in the left quarter of each."""
    rng = np.random.default_rng(0)
    for i in range(12):
        name = f'{"ab"[i % 2]}/{i:02d}'
        for room in ('images', 'masks'):
            (folder / room / name).parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(255, size=(64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[:, :16] = 255
        Image.fromarray(image).save(folder / 'images' / f'{name}.jpg')
        Image.fromarray(mask).save(folder / 'masks' / f'{name}.png')


@pytest.mark.core
def test_draws_and_measures(tmp_path):
    config, checkpoint = _lewel(tmp_path)
    _images(tmp_path)
    out = tmp_path / 'new' / 'maps.png'
    folders = '--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks')
    done = run(sys.executable, MAPS, checkpoint, *folders, '--out', str(out), '--rows', '3', cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert out.read_bytes().startswith(b'\x89PNG')
    result = json.loads(out.with_suffix('.json').read_text())
    assert result['num_images'] == 12 and result['num_maps'] == 12 and result['grid'] == [4, 4]
    assert result['area']['mean'] == pytest.approx(0.25)
    assert result['maps']['uniform']['mean']['mean'] == pytest.approx(0.25, abs=1e-6)
    assert result['maps']['uniform']['best']['mean'] == pytest.approx(0.25, abs=1e-6)
    assert result['maps']['random']['mean']['mean'] == pytest.approx(0.25, abs=0.01)
    assert 0 < result['maps']['learned']['mean']['mean'] < 1
    assert 'Object: 25.00' in done.stdout and '| learned | ' in done.stdout

    # The config comes from a file, there are no masks, and the maps are chosen.
    config.dump(tmp_path / 'config.py')
    out = tmp_path / 'chosen.png'
    files = str(tmp_path / 'config.py'), checkpoint, '--maps', '3', '0'
    done = run(sys.executable, MAPS, *files, *folders[:2], '--out', str(out), cwd=tmp_path)
    assert done.returncode == 0 and 'Maps 3, 0 over 8 images' in done.stdout, done.stdout
    assert not out.with_suffix('.json').exists()


def test_errors_name_what_is_wrong(tmp_path):
    _, checkpoint = _lewel(tmp_path)
    _images(tmp_path)
    (tmp_path / 'masks' / 'a' / '00.png').unlink()
    (tmp_path / 'empty').mkdir()
    images = '--images', str(tmp_path / 'images')
    for arguments, message in (
        ((*images, '--masks', str(tmp_path / 'masks')), '1 of 12 images have no mask, the first: '),
        ((*images, '--maps', '12'), '--maps 12: the checkpoint has the maps 0 to 11'),
        (('--images', str(tmp_path / 'empty')), 'no images under'),
    ):
        done = run(sys.executable, MAPS, checkpoint, *arguments, cwd=tmp_path)
        assert done.returncode == 1 and f'error: {message}' in done.stdout, done.stdout
