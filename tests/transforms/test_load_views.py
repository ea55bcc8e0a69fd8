import io
import random

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from mmengine.dataset import default_collate
from mmpretrain.datasets import PackInputs
from PIL import Image
from torch.utils.data import DataLoader

from lewel_plugins.datasets import ImageTree, PretrainDataset, SeededSampler
from lewel_plugins.image_files import headers
from lewel_plugins.models import BatchViews
from lewel_plugins.transforms import BrokenImageError, LoadRGB, LoadViews, MakeViews, ViewScheme

pytestmark = pytest.mark.core
_SMALL = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
PICTURE = cv2.resize(_SMALL, (160, 120), interpolation=cv2.INTER_CUBIC)
ALL = dict(size=32, crop_scale=(0.3, 1.0), jitter=1.0, saturation=0.4, blur=0.7, solarize=0.4, gray=0.3)
NOTHING = dict(crop_scale=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0)


def write(path, image=PICTURE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95, **options)
    return str(path)


def reference(image, view, size):
    """Make a view of an RGB image by torchvision: the crop by Pillow, all other operations in float64."""
    left, top, w, h = view.box
    crop = TF.resized_crop(Image.fromarray(image), top, left, h, w, [size, size])
    x = torch.from_numpy(np.array(crop)).permute(2, 0, 1).double() / 255
    for name, value in view.jitter:
        x = getattr(TF, f'adjust_{name}')(x, value)
    if view.gray:
        x = TF.rgb_to_grayscale(x, 3)
    if view.sigma:
        x = TF.gaussian_blur(x, [23, 23], [view.sigma] * 2)
    if view.solarize:
        x = TF.solarize(x, 127.5 / 255)
    return 255 * (x.flip(2) if view.flip else x)


def draw(transform, height=120, width=160, seed=0):
    random.seed(seed)
    return transform.draw(height, width)


def test_views_are_torchvisions():
    transform = MakeViews([ALL], num_views=60)
    expected = draw(transform)
    random.seed(0)
    views = transform(dict(img=PICTURE[..., ::-1].copy()))['img']
    packed = PackInputs.format_input(views)
    for view, parameters in zip(packed, expected):
        assert view.dtype == torch.uint8 and view.shape == (3, 32, 32)
        error = (view.flip(0) - reference(PICTURE, parameters, 32)).abs()
        # Each of up to four roundings to 8 bits moves a value by up to a half, which contrast and saturation amplify.
        assert error.max() < 4 and error.mean() < 0.7


def test_packing_does_not_copy():
    (view,) = MakeViews([dict(size=32)])(dict(img=PICTURE))['img']
    assert view.shape == (32, 32, 3)
    assert PackInputs.format_input(view).data_ptr() == view.ctypes.data


def device_batch(seed=0, num_views=6):
    """Finish the same draws in the pipeline and by BatchViews, with mean 0 and std 1."""
    inputs = {}
    for on_device in (False, True):
        transform = MakeViews([ALL, dict(ALL, size=24)], num_views=num_views // 2, on_device=on_device)
        samples = []
        for i in range(8):
            random.seed(seed + i)
            samples.append(PackInputs()(transform(dict(img=PICTURE[..., ::-1].copy()))))
        data = default_collate(samples)
        inputs[on_device] = BatchViews(mean=(0, 0, 0), std=(1, 1, 1))(data, training=True)['inputs']
    return inputs


def test_device_makes_the_views_that_the_pipeline_would_make():
    inputs = device_batch()
    assert len(inputs[True]) == len(inputs[False]) == 6
    for ours, finished in zip(inputs[True], inputs[False]):
        assert ours.shape == finished.shape and ours.dtype == torch.float32
        assert ours.is_contiguous(memory_format=torch.channels_last)
        error = (ours - finished).abs()
        assert error.max() < 4 and error.mean() < 0.7


def test_without_blur_there_is_no_kernel():
    views = MakeViews([dict(size=8)], on_device=True)(dict(img=PICTURE))['img']
    assert len(views) == 2 and views[1].shape == (1, 12)


def test_load_views_is_load_rgb_and_make_views(tmp_path):
    damaged = turned(6)[:-20] + bytes(20)
    kinds = dict(plain={}, turned=dict(exif=turned(6)), mirrored=dict(exif=turned(2)), damaged=dict(exif=damaged))
    for name, options in ('b.png', {}), *((f'{name}.jpg', options) for name, options in kinds.items()):
        path = write(tmp_path / name, **options)
        random.seed(3)
        expected = MakeViews([ALL] * 2)(LoadRGB()(dict(img_path=path)))
        random.seed(3)
        loaded = LoadViews([ALL], num_views=2)(dict(img_path=path))
        assert loaded['ori_shape'] == expected['ori_shape'] and loaded['img_shape'] == (32, 32)
        assert all(np.array_equal(a, b) for a, b in zip(loaded['img'], expected['img']))


def turned(value):
    exif = Image.Exif()
    exif[0x112] = value
    return exif.tobytes()


def test_images_in_memory_are_rgb():
    (view,) = LoadViews([dict(size=120, **NOTHING)])(dict(img=PICTURE))['img']
    expected = TF.resize(Image.fromarray(PICTURE[..., ::-1].copy()), [120, 120])
    assert np.abs(view.astype(int) - np.asarray(expected)).max() <= 1
    gray = LoadViews([dict(size=8, **NOTHING)])(dict(img=PICTURE[..., 0]))['img'][0]
    assert np.array_equal(gray[..., 0], gray[..., 1]) and np.array_equal(gray[..., 0], gray[..., 2])


@pytest.mark.parametrize(('size', 'reduction'), [(5, 4), (11, 2), (32, 1)])
@pytest.mark.parametrize('orientation', [None, 1, 6])
def test_large_crops_are_decoded_at_reduced_size(tmp_path, monkeypatch, size, reduction, orientation):
    width, height = (99, 101) if orientation == 6 else (101, 99)  # odd sides, of which reduced ones are rounded up
    path = write(
        tmp_path / 'a.jpg',
        cv2.resize(_SMALL[:4, :5], (width, height), interpolation=cv2.INTER_CUBIC),
        **(dict(exif=turned(orientation)) if orientation else {}),
    )
    decoded = []
    imdecode = cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: decoded.append(imdecode(*args)) or decoded[-1])
    view = dict(size=size, **{**NOTHING, 'crop_scale': (0.9, 1.0)})
    results = LoadViews([view, dict(view, size=4)])(dict(img_path=path))
    assert decoded[0].shape[:2] == (-(-99 // reduction), -(-101 // reduction))
    assert results['ori_shape'] == (99, 101)

    # The edges of this box fall on pixels of the reduced image.
    path = write(
        tmp_path / 'b.jpg',
        cv2.resize(_SMALL[:4, :5], (100, 96), interpolation=cv2.INTER_CUBIC),
        **(dict(exif=turned(orientation)) if orientation else {}),
    )
    whole = dict(size=size, **NOTHING)
    monkeypatch.setattr(ViewScheme, '_draw_box', lambda scheme, height, width: (0, 0, width, height))
    reduced = LoadViews([whole])(dict(img_path=path))['img'][0]
    full = MakeViews([whole])(LoadRGB()(dict(img_path=path)))['img'][0]
    assert np.abs(reduced.astype(int) - full).mean() < 1


def test_a_decoder_that_reads_a_damaged_exif_differently(tmp_path, monkeypatch):
    path = write(tmp_path / 'a.jpg', exif=turned(6))
    monkeypatch.setattr(headers, 'read_orientation', lambda segment: 1)
    loaded = LoadViews([dict(size=8, **NOTHING)])(dict(img_path=path))
    expected = MakeViews([dict(size=8, **NOTHING)])(LoadRGB()(dict(img_path=path)))
    assert loaded['ori_shape'] == expected['ori_shape'] == (160, 120)
    assert np.array_equal(loaded['img'][0], expected['img'][0])


def test_read_only_images():
    image = np.asarray(Image.fromarray(PICTURE))
    assert not image.flags.writeable
    views = [draw_views(x) for x in (image, image.copy())]
    assert np.array_equal(*views)


def draw_views(image):
    random.seed(0)
    return MakeViews([ALL])(dict(img=image))['img'][0]


def test_a_small_crop_among_large_ones_keeps_the_full_size(tmp_path):
    transform = LoadViews([dict(size=8, **NOTHING), dict(size=60, **NOTHING)])
    assert transform._reduction(draw(transform.make_views)) == 1


def test_broken_files_are_named(tmp_path):
    data = io.BytesIO()
    Image.fromarray(PICTURE).save(data, 'JPEG')
    for name, content in (('cut.jpg', data.getvalue()[:400]), ('text.jpg', b'no image'), ('empty.jpg', b'')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenImageError, match=name):
            LoadViews([ALL])(dict(img_path=str(tmp_path / name)))
    with pytest.raises(BrokenImageError, match='cannot be read'):
        LoadViews([ALL])(dict(img_path=str(tmp_path / 'nothing.jpg')))


@pytest.mark.parametrize('on_device', [False, True])
def test_views_do_not_depend_on_the_number_of_workers(tmp_path, on_device):
    for i in range(6):
        write(tmp_path / f'{i}.jpg', np.roll(PICTURE, i, 0))
    pipeline = [
        dict(type='lewel_plugins.LoadViews', views=[ALL], num_views=2, on_device=on_device),
        dict(type='mmpretrain.PackInputs'),
    ]

    def batches(workers):
        dataset = PretrainDataset(ImageTree(str(tmp_path), pipeline))
        sampler = SeededSampler(dataset, seed=5)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=default_collate)
        return [x for batch in loader for x in batch['inputs']]

    alone, shared = batches(0), batches(2)
    assert len(alone) == len(shared) == 3 * (2 + on_device)
    assert all(torch.equal(a, b) for a, b in zip(alone, shared))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(views=[]), 'at least one view'),
        (dict(views=[ALL], num_views=[1, 2]), r'each of the 1 views, got \[1, 2\]'),
        (dict(views=[ALL], num_views=0), 'at least 1.*got 0'),
        (dict(views=[dict(size=8, gray=2)]), 'gray is a probability'),
        (dict(views=[dict(size=(8, 8))]), r'whole pixels, got \(8, 8\)'),
        (dict(views=[dict(size=8, crop_scale=0.5)]), r'crop_scale must be \(low, high\), got 0\.5'),
        (dict(views=[dict(size=6, blur=0.5)], on_device=True), 'reaches 6 pixels.*views of 6 pixels'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    for transform in (MakeViews, LoadViews):
        with pytest.raises(ValueError, match=message):
            transform(**arguments)
