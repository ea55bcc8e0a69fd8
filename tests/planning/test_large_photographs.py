"""A JPEG of more pixels than are decoded in full is used by the training, and by all that watches and evaluates it."""

import cv2
import numpy as np
import pytest
from helpers.labels import write_image
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from lewel_plugins.checkpoints import DEFAULT_SCOPE
from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.image_index import SizeReader
from lewel_plugins.image_files.decode import BrokenImageError
from lewel_plugins.image_files.inspect_files import inspect
from lewel_plugins.payoff.material import Material
from lewel_plugins.planning.headers import read_headers
from lewel_plugins.planning.monitors import _test_pipeline
from lewel_plugins.reporting.pictures import evaluation_transforms
from lewel_plugins.transforms import LoadRGB, LoadViews

SIZE = (9504, 6336)  # width and height of a camera of 61 million pixels; the limit of a whole JPEG is 59.7


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp('photos') / 'large.jpg'
    path.write_bytes(cv2.imencode('.jpg', np.full(SIZE[::-1], 100, np.uint8))[1].tobytes())
    return str(path)


def load(pipeline, path):
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        return Compose(pipeline[:-1])(dict(img_path=path))['img'].shape


def test_the_scan_and_every_loader_with_a_resize_take_it(photo, tmp_path):
    headers = read_headers([photo], 1, 0)
    assert list(headers.headers) == [photo] and not inspect(photo).reason
    assert load(_test_pipeline(224), photo) == (224, 224, 3)
    assert load(evaluation_transforms(dict(views=[dict(size=96, crop_scale=(0.2, 1))])), photo) == (96, 96, 3)
    material = Material((photo,), (0,), ('a',), (0,), (0,), (0,), 224, 0, tmp_path)
    assert load(material.loader([0], 'test')['dataset']['pipeline'], photo) == (224, 224, 3)
    training = material.training_loader([0], 'train', 1)['dataset']['dataset']['pipeline']
    assert load(training, photo) == (224, 224, 3)
    (view,) = LoadViews([dict(size=1024, crop_scale=(0.01, 0.01))])(dict(img_path=photo))['img']
    assert view.shape == (1024, 1024, 3)


def test_labels_need_all_its_pixels(photo, tmp_path):
    with pytest.raises(BrokenImageError, match='too many: at most 59652323 are decoded from a JPEG '):
        LoadRGB()(dict(img_path=photo))
    with pytest.raises(SetupError, match=r'large.jpg claims 9,504 × 6,336 pixels, more than the limit of 60 million'):
        SizeReader().read(photo, is_compared=True)
    assert SizeReader().read(str(write_image(tmp_path / 'small.jpg', 0)), is_compared=True) == (64, 48)
