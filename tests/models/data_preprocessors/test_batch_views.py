import pytest
import torch
from mmpretrain.structures import DataSample
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms.functional import gaussian_blur

from lewel_plugins.models import BatchViews

pytestmark = pytest.mark.core
MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
PLAIN = dict(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0)
GOLDEN = [
    [-0.1443064, -0.4439539, -1.5067855, -1.8044444],
    [0.3119468, -0.7314723, -0.1628387, 1.754186],
]


def _batch(count=6, size=16):
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    return dict(inputs=images, data_samples=[None] * count)


def _normalized(images):
    rgb = images.flip(1).float()
    return (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def test_without_augmentation_views_are_the_normalized_images():
    data = _batch()
    out = BatchViews(views=[dict(size=16, **PLAIN)] * 3, mean=MEAN, std=STD)(data, training=True)
    assert len(out['inputs']) == 3
    for view in out['inputs']:
        torch.testing.assert_close(view, _normalized(data['inputs']), atol=1e-3, rtol=0)


def test_validation_only_normalizes():
    data = _batch()
    out = BatchViews(views=[dict(size=8)], mean=MEAN, std=STD)(data, training=False)
    torch.testing.assert_close(out['inputs'], _normalized(data['inputs']))


def test_views_have_their_own_sizes_and_draws():
    torch.manual_seed(0)
    pre = BatchViews(views=[dict(size=16), dict(size=16), dict(size=12, blur=1.0, solarize=1.0)])
    a, b, small = pre(_batch(), training=True)['inputs']
    assert a.shape == b.shape == (6, 3, 16, 16)
    assert small.shape == (6, 3, 12, 12)
    assert (a - b).abs().amax((1, 2, 3)).gt(0.1).all()


def test_images_of_a_batch_get_separate_parameters():
    torch.manual_seed(0)
    data = _batch(2)
    data['inputs'][1] = data['inputs'][0]
    (view,) = BatchViews(views=[dict(size=16)])(data, training=True)['inputs']
    assert not torch.equal(view[0], view[1])


@pytest.mark.parametrize('name', ['flip', 'gray', 'solarize'])
def test_probabilities_are_met(name):
    torch.manual_seed(0)
    data = _batch(2000, 4)
    pre = BatchViews(views=[dict(size=4, **{**PLAIN, name: 0.3})], mean=(0, 0, 0), std=(255, 255, 255), to_rgb=False)
    (view,) = pre(data, training=True)['inputs']
    changed = (view - data['inputs'] / 255).abs().amax((1, 2, 3)) > 1e-4
    assert 0.25 < changed.float().mean() < 0.35


def test_draws_follow_torchs_seed():
    pre, data = BatchViews(views=[dict(size=16, blur=0.5)]), _batch()
    torch.manual_seed(3)
    first = pre(data, training=True)['inputs'][0]
    torch.manual_seed(3)
    assert torch.equal(first, pre(data, training=True)['inputs'][0])


@pytest.mark.parametrize(
    ('view', 'message'),
    [
        (dict(size=0), 'at least 1 pixel, got 0'),
        (dict(size=8, flip=1.5), r'flip is a probability.*1\.5'),
        (dict(size=8, crop_scale=(0.5, 1.2)), r'crop_scale.*1\.2'),
        (dict(size=8, crop_scale=(0.5, 0.2)), r'crop_scale must be \(low, high\)'),
        (dict(size=8, hue=0.7), r'hue.*0\.7'),
        (dict(size=6, blur=0.7), 'reaches 6 pixels'),
    ],
)
def test_bad_values_are_named(view, message):
    with pytest.raises(ValueError, match=message):
        BatchViews(views=[view])


@pytest.mark.parametrize('sigma', [0.5, 2.0])
def test_blur_has_the_configured_sigma(sigma):
    scheme = dict(size=32, **PLAIN, blur=1.0, blur_sigma=(sigma, sigma))
    pre = BatchViews(views=[scheme], mean=(0, 0, 0), std=(255, 255, 255), to_rgb=False)
    data = _batch(size=32)
    (view,) = pre(data, training=True)['inputs']
    expected = gaussian_blur(data['inputs'].double() / 255, [23, 23], [sigma, sigma])
    assert (view - expected).abs().max() < 1 / 255


def test_views_and_input_must_fit():
    images = _batch()['inputs']
    with pytest.raises(ValueError, match='without MultiView'):
        BatchViews(views=[dict(size=8)])(dict(inputs=[images] * 2, data_samples=None), training=True)
    with pytest.raises(ValueError, match='set views, or use LoadViews'):
        BatchViews()(_batch(), training=True)
    with pytest.raises(ValueError, match='bilinear.*bicubic'):
        BatchViews(views=[dict(size=8, interpolation='bicubic')])


def test_finished_views_are_normalized_as_by_mmpretrain():
    data = dict(inputs=[_batch()['inputs'], _batch(size=8)['inputs']], data_samples=[])
    ours = BatchViews(mean=MEAN, std=STD)(data, training=True)['inputs']
    for view, image in zip(ours, data['inputs']):
        torch.testing.assert_close(view, _normalized(image))


def test_views_of_a_seed_stay_what_they_were():
    """Means and single values of views equal those that docs/results were made with."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=generator)
    pre = BatchViews(views=[dict(size=24, hue=0.5, gray=0.3, blur=0.5, solarize=0.3), dict(size=16)])
    torch.manual_seed(1)
    inputs = pre(dict(inputs=images, data_samples=[]), training=True)['inputs']
    for view, expected in zip(inputs, GOLDEN):
        values = torch.stack([view.double().mean(), view[1, 0, 3, 5], view[2, 1, 7, 2], view[3, 2, 9, 11]])
        torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), atol=2e-5, rtol=0)


def test_labels_go_to_the_device_in_one_copy(monkeypatch):
    copies = []

    def copy(data):
        copies.append(data)
        return data.to('meta')

    preprocessor = BatchViews().to('meta')
    monkeypatch.setattr(preprocessor, 'cast_data', copy)
    moved = preprocessor._move_samples([DataSample().set_gt_label(label) for label in (1, [2, 3], 4)])
    assert [sample.gt_label.shape for sample in moved] == [(1,), (2,), (1,)]
    assert all(sample.gt_label.is_meta for sample in moved)
    assert [tensor.tolist() for tensor in copies] == [[1, 2, 3, 4]]
    assert preprocessor._move_samples(None) is None


@pytest.mark.filterwarnings('ignore:.*meta')
def test_samples_with_more_than_a_label_go_to_the_device_as_they_are():
    sample = DataSample().set_gt_label(1).set_gt_score(torch.ones(3))
    (moved,) = BatchViews().to('meta')._move_samples([sample])
    assert moved.gt_label.is_meta and moved.gt_score.is_meta


class Copies(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._to_copy.default and (kwargs or {}).get('device') is not None
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('training', [True, False])
def test_the_labels_of_a_batch_are_one_copy(training):
    samples = [DataSample().set_gt_label(i) for i in range(6)]
    images = torch.zeros(6, 3, 16, 16, dtype=torch.uint8)
    preprocessor = BatchViews().to('meta')
    with Copies() as copies:
        data = preprocessor(dict(inputs=[images] if training else images, data_samples=samples), training)
    assert copies.count == 2  # images and labels
    assert all(sample.gt_label.is_meta for sample in data['data_samples'])
