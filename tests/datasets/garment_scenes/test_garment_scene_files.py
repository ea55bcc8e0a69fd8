import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes, voc
from lewel_plugins.datasets.garment_scenes.coco import encode_rle
from lewel_plugins.datasets.garment_scenes.sources import CLASSES

pytestmark = pytest.mark.core
GARMENTS = Path(__file__).parents[3] / 'data' / 'fashion_mnist'
SINGLE = SceneConfig(num_train=30, num_val=10)
MULTI = SceneConfig(kind='multi', size=64, num_train=12, num_val=6, scale=(0.3, 0.6))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize('config', [SINGLE, MULTI], ids=['single', 'multi'])
def test_same_files_whatever_the_number_of_processes(tmp_path, config):
    for workers in (1, 2):
        assert make_scenes(config, GARMENTS, tmp_path / str(workers), workers)
    assert digest(tmp_path / '1') == digest(tmp_path / '2')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['1', '2']


def test_single_is_a_folder_tree_with_masks(tmp_path):
    make_scenes(SINGLE, GARMENTS, tmp_path / 'out', 1)
    meta = json.loads((tmp_path / 'out' / 'meta.json').read_text())
    assert meta['arguments']['seed'] == 0 and tuple(meta['classes']) == CLASSES
    for split, count in (('train', 30), ('val', 10)):
        images = sorted((tmp_path / 'out' / split).glob('*/*.jpg'))
        masks = sorted((tmp_path / 'out' / f'{split}_masks').glob('*/*.png'))
        assert len(images) == sum(meta['counts'][split].values()) == count
        assert [p.stem for p in images] == [p.stem for p in masks]
        assert {p.parent.name for p in (tmp_path / 'out' / split).glob('*/*')} <= set(CLASSES)
        assert len(list((tmp_path / 'out' / split).iterdir())) == 10
        with Image.open(images[0]) as image, Image.open(masks[0]) as mask:
            assert image.size == mask.size == (32, 32) and image.mode == 'RGB'
            assert set(np.unique(np.asarray(mask))) == {0, 255}


def decode_rle(rle: dict) -> np.ndarray:
    values = np.arange(len(rle['counts'])) % 2
    return np.repeat(values, rle['counts']).reshape(rle['size'], order='F').astype(bool)


@pytest.mark.parametrize('fill', [0, 1, None])
def test_run_lengths_come_back(fill):
    mask = np.random.default_rng(0).random((7, 5)) < 0.5 if fill is None else np.full((7, 5), bool(fill))
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


def test_palette_is_vocs():
    assert voc.palette()[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert voc.palette()[[15, 255]].tolist() == [[192, 128, 128], [224, 224, 192]]


def test_multi_is_the_same_in_coco_and_voc(tmp_path):
    make_scenes(MULTI, GARMENTS, tmp_path / 'out', 1)
    voc_root = tmp_path / 'out' / 'VOC2007'
    for split, count in (('train', 12), ('val', 6)):
        coco = json.loads((tmp_path / 'out' / 'annotations' / f'instances_{split}.json').read_text())
        names = (voc_root / 'ImageSets' / 'Main' / f'{split}.txt').read_text().split()
        assert (voc_root / 'ImageSets' / 'Segmentation' / f'{split}.txt').read_text().split() == names
        assert len(names) == len(coco['images']) == count
        category = {item['id']: item['name'] for item in coco['categories']}
        for name, image in zip(names, coco['images']):
            assert image['file_name'] == f'{name}.jpg'
            with Image.open(voc_root / 'JPEGImages' / image['file_name']) as opened:
                assert opened.size == (image['width'], image['height'])
            with Image.open(voc_root / 'SegmentationClass' / f'{name}.png') as opened:
                assert opened.mode == 'P'
                classes = np.asarray(opened)
            items = [item for item in coco['annotations'] if item['image_id'] == image['id']]
            objects = ET.parse(voc_root / 'Annotations' / f'{name}.xml').findall('object')
            assert len(items) == len(objects) >= 1
            seen = np.zeros_like(classes)
            for item, element in zip(items, objects):
                mask = decode_rle(item['segmentation'])
                rows, columns = np.nonzero(mask)
                x, y, w, h = item['bbox']
                assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert item['area'] == mask.sum() and item['iscrowd'] == 0
                seen[mask] = item['category_id']
                box = [int(element.find('bndbox').find(key).text) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
                assert box == [x + 1, y + 1, x + w, y + h]
                assert element.find('name').text == category[item['category_id']]
            assert np.array_equal(seen, classes)
        assert len({item['id'] for item in coco['annotations']}) == len(coco['annotations'])


def test_second_run_reuses_and_others_are_refused(tmp_path):
    out = tmp_path / 'out'
    assert make_scenes(SINGLE, GARMENTS, out, 1)
    assert not make_scenes(SINGLE, GARMENTS, out, 1)
    with pytest.raises(FileExistsError, match=r'seed \(0 there, 1 requested\)'):
        make_scenes(SceneConfig(num_train=30, num_val=10, seed=1), GARMENTS, out, 1)
    (out / 'meta.json').unlink()
    with pytest.raises(FileExistsError, match='no meta.json'):
        make_scenes(SINGLE, GARMENTS, out, 1)


def test_a_run_that_stops_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr('lewel_plugins.datasets.garment_scenes.files._count_classes', lambda records: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_scenes(SINGLE, GARMENTS, tmp_path / 'out', 1)
    assert not list(tmp_path.iterdir())


def test_missing_garments(tmp_path):
    with pytest.raises(FileNotFoundError, match='t10k-images'):
        make_scenes(SINGLE, tmp_path, tmp_path / 'out', 1)
    with pytest.raises(ValueError, match='workers must be at least 1, got 0'):
        make_scenes(SINGLE, GARMENTS, tmp_path / 'out', 0)
