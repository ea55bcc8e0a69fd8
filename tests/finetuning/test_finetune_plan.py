"""Rules of the plan of a fine-tuning on numbers: no image, no device."""

import itertools

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning import TASKS, FinetuneFacts, LabelFacts, Start, plan
from lewel_plugins.finetuning.networks import NETWORKS
from lewel_plugins.planning import GPU, Machine

pytestmark = pytest.mark.core
GIB = 2**30


def facts(
    images=1000, short=600, long=800, start='resnet50', stem='standard', gpus=0, free=23.0, **more
) -> FinetuneFacts:
    devices = tuple(GPU(i, 'RTX 4090', 24 * GIB, int(free * GIB), (8, 9)) for i in range(gpus))
    labels = LabelFacts(images, 100, 3, short, long, split='by name', **more)
    weights = Start('random') if start == 'random' else Start('a.pth', start, stem)
    return FinetuneFacts(labels, weights, Machine(devices, cores=16))


@pytest.mark.parametrize(
    ('images', 'batch', 'norm', 'epochs', 'lr'),
    [(1, 1, 'frozen', 120, 0.00125), (3, 2, 'frozen', 120, 0.0025), (20, 4, 'frozen', 120, 0.005),
     (100, 16, 'trained', 120, 0.02), (1000, 16, 'trained', 48, 0.02), (118_000, 16, 'trained', 12, 0.02)],
)  # fmt: skip
def test_batch_norm_rate_and_length_follow_from_the_labels(images, batch, norm, epochs, lr):
    resolved = plan('detector', facts(images))
    values = [resolved[name] for name in ('batch_size', 'batch_norm', 'epochs', 'lr')]
    assert values == [batch, norm, epochs, pytest.approx(lr)]


def test_coco_resolves_to_the_recipe():
    resolved = plan('detector', facts(118_000, 480, 640, small_box=40.0, has_outlines=True))
    assert (resolved['head'], resolved['anchor'], resolved['warm_up']) == ('Mask R-CNN', 32, 1000)
    large = plan('detector', facts(118_000, 2000, 3000, small_box=400.0))
    assert (large['head'], large['image_size'], large['anchor']) == ('Faster R-CNN', [800, 1333], 32)
    assert not large.warnings
    huge = plan('detector', facts(100, 4000, 6000, small_box=20.0))
    assert huge['anchor'] == 4 and 'images are reduced from 4,000 to 800 px' in huge.warnings[0]


@pytest.mark.parametrize(
    ('outlined', 'reason', 'count'),
    [
        ((0, 5000), 'the labels are boxes', 0),
        ((4999, 5000), '1 of 5,000 objects has no outline', 1),
        ((1, 5000), '4,999 of 5,000 objects have no outline', 1),
    ],
)
def test_a_few_missing_outlines_are_the_reason_for_a_faster_rcnn(outlined, reason, count):
    resolved = plan('detector', facts(outlined=outlined))
    assert (resolved['head'], resolved.settings['head'].reason) == ('Faster R-CNN', reason)
    expected = [f'{reason}; a Mask R-CNN needs one of every object'] * count
    assert [text for text in resolved.warnings if 'outline' in text] == expected


def test_images_keep_their_size_up_to_that_of_the_recipe():
    for short, size in ((20, [32, 53]), (64, [64, 107]), (500, [512, 853]), (800, [800, 1333])):
        assert plan('detector', facts(short=short, long=2 * short))['image_size'] == size
    assert plan('segmenter', facts(short=375, long=500))['image_size'] == [384, 1536]
    assert plan('segmenter', facts(short=1024, long=2048))['image_size'] == [512, 2048]


def test_random_weights_train_longer_and_all_their_norms():
    pretrained, random = (plan('detector', facts(20, start=start)) for start in ('resnet18', 'random'))
    assert random['epochs'] == 3 * pretrained['epochs'] and random['batch_norm'] == 'trained'
    assert random['backbone'] == 'resnet18' and 'batch norm learns from 4 images per step' in random.warnings
    assert plan('segmenter', facts(60_000, start='random'))['backbone'] == 'resnet50'
    assert plan('segmenter', facts(short=64, start='random'))['stem'] == '3 × 3'


@pytest.mark.parametrize('task', TASKS)
def test_every_network_starts_from_random_weights_on_images_of_any_size(task):
    for (name, _), short in itertools.product(NETWORKS[task], (32, 64, 96, 800)):
        base = facts(short=short, long=short)
        resolved = plan(task, FinetuneFacts(base.labels, Start('random', name), base.machine))
        assert (name, resolved['stem']) in NETWORKS[task]
        has_small_stem = name in ('resnet18', 'resnet34', 'resnet50', 'resnet101')
        assert resolved['stem'] == ('3 × 3' if short <= 64 and has_small_stem else 'standard')


@pytest.mark.parametrize('task', TASKS)
def test_what_holds_for_all_labels_and_machines(task):
    for exponent, gpus, free in itertools.product(range(0, 61, 4), (0, 1, 3, 8, 16), (20, 24)):
        images = int(10 ** (exponent / 10))
        resolved = plan(task, facts(images, gpus=gpus, free=free))
        batch, ranks, parts = (resolved[name] for name in ('batch_size', 'ranks', 'accumulation'))
        assert 1 <= batch <= max(images, 1) and batch % ranks == 0 and (batch // ranks) % parts == 0
        assert resolved['epochs'] >= 1 and all(setting.reason for setting in resolved)


def test_the_machine_shapes_the_weights_only_where_a_batch_does_not_fit():
    plans = [plan('detector', facts(gpus=gpus)) for gpus in (0, 8, 16)]
    for name in ('batch_size', 'lr', 'epochs', 'batch_norm', 'image_size'):
        assert len({str(resolved[name]) for resolved in plans}) == 1, name
    one = plan('detector', facts(gpus=1, short=800, long=1200))
    assert one['accumulation'] > 1 and one['batch_norm'] == 'frozen'
    assert plan('detector', facts(gpus=1, short=800, long=1200, free=20.0))['accumulation'] == 4
    resolved = plan('detector', facts(gpus=1, short=800, start='resnet101', stem='3 × 3'))
    assert (
        resolved['accumulation'] == 16 and resolved.warnings[0] == 'one image needs about 42.4 GiB, and 23.0 are free'
    )
    assert one['batch_size'] == 16 and 'a batch of 16 does not fit' in one.warnings[0]


def test_requests_that_cannot_be_met():
    with pytest.raises(SetupError, match='--epochs must be at least 1, got 0'):
        plan('detector', facts(), epochs=0)
    with pytest.raises(SetupError, match='--gpus is 2, but no GPU is visible'):
        plan('detector', facts(), gpus=2)
    with pytest.raises(
        SetupError, match='a detector cannot start from vit-small here; the backbones are resnet10, .*swin-sm'
    ):
        plan('detector', facts(start='vit-small'))
    assert plan('segmenter', facts(), epochs=7)['epochs'] == 7


def test_every_network_has_maps_for_its_levels():
    for networks in NETWORKS.values():
        for network in networks.values():
            assert len(network.strides) == len(network.channels)
            assert list(network.strides) == sorted(network.strides)
    assert NETWORKS['detector']['resnet50', 'standard'].level_strides == [4, 8, 16, 32, 64]
    assert NETWORKS['detector']['resnet10', 'standard'].level_strides == [4, 8, 8, 16]


def test_a_swin_has_the_optimizer_of_its_recipes():
    resolved = plan('detector', facts(20, start='swin-tiny'))
    assert [resolved[name] for name in ('optimizer', 'lr', 'batch_norm')] == ['adamw', 1e-4 / 4, 'none']
