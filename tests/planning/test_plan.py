"""Rules of the plan on numbers: no image, no device."""

import itertools

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.planning import GPU, METHODS, Facts, Folder, Machine, Memory, Request, Weights, plan

pytestmark = pytest.mark.core
GIB = 2**30


def facts(images: int, side: int = 1200, gpus: int = 1, free: float = 23, **more) -> Facts:
    devices = tuple(GPU(i, 'RTX 4090', 24 * GIB, int(free * GIB), (8, 9)) for i in range(gpus))
    return Facts(Folder(images, images, median_short_side=side), Machine(devices, cores=16), **more)


@pytest.mark.parametrize(
    ('images', 'batch', 'queue', 'epochs'),
    [(10, 8, 16, 1600), (100, 16, 32, 834), (1000, 128, 256, 715), (40_000, 256, 8192, 200), (10**6, 256, 65536, 200)],
)
def test_batch_queue_and_length_follow_from_the_folder(images, batch, queue, epochs):
    resolved = plan(facts(images), Request())
    assert (resolved['batch_size'], resolved['queue_len'], resolved['epochs']) == (batch, queue, epochs)
    assert resolved['lr'] == pytest.approx(0.06 * batch / 256)
    assert resolved['backbone'] == ('resnet18' if images < 50_000 else 'resnet50')


@pytest.mark.parametrize(
    ('images', 'batch', 'queue', 'epochs'),
    [
        (2, 'all 2 images', 'recipe 65,536: 2 images, but at least two batches', '1,600 steps, 1 per epoch; 1,600 epo'),
        (
            10,
            'the least that a method',
            'recipe 65,536: 10 images, but at least two b',
            '1,600 steps, 1 per epoch; 1,600',
        ),
        (
            20,
            'the least that a method',
            'recipe 65,536: 20 images, but at least two b',
            '3,200 steps, 2 per epoch; 1,600',
        ),
        (100, 'a quarter of 100 images', 'recipe 65,536: 100 images, but at least tw', '5,004 steps, 6 per epoch'),
        (4000, 'as in the recipe: 15', 'recipe 65,536: 4,000 images', '5,010 steps, 15 per epoch'),
    ],
)
def test_the_reasons_of_small_folders(images, batch, queue, epochs):
    settings = plan(facts(images), Request()).settings
    reasons = [settings[name].reason for name in ('batch_size', 'queue_len', 'epochs')]
    assert [reason.startswith(start) for reason, start in zip(reasons, (batch, queue, epochs))] == [True] * 3, reasons
    assert ('at most' in reasons[2]) == (images < 100)


@pytest.mark.parametrize('method', METHODS)
def test_what_holds_for_every_folder_and_machine(method):
    for exponent, gpus in itertools.product(range(1, 71, 3), (0, 1, 3, 8, 16)):
        images = max(2, int(10 ** (exponent / 10)))
        try:
            resolved = plan(facts(images, gpus=gpus), Request(method))
        except SetupError as error:
            assert method == 'smog' and 'fewer than 2 resets' in str(error)
            continue
        batch, ranks = resolved['batch_size'], resolved['ranks']
        trained = images - resolved['holdout']
        assert 2 <= batch <= trained and batch % ranks == 0 and trained // batch >= 1
        assert ranks == 1 or batch // ranks >= 8
        assert resolved['epochs'] >= 1 and 0 <= resolved['warm_up'] < max(1, resolved['epochs'])
        if 'queue_len' in resolved.settings:
            assert resolved['queue_len'] >= 2 * batch
            assert method != 'mocov2' or resolved['queue_len'] % batch == 0
        if 'momentum' in resolved.settings:
            assert 0 < resolved['momentum'] < 1  # which mmpretrain's teachers need
        assert all(setting.reason for setting in resolved)


def test_the_machine_does_not_shape_the_weights():
    names = ('backbone', 'image_size', 'batch_size', 'lr', 'epochs', 'momentum', 'queue_len', 'holdout', 'warm_up')
    plans = [plan(facts(20_000, gpus=gpus, free=free), Request()) for gpus, free in ((0, 1), (1, 23), (8, 20))]
    for name in names:
        assert len({resolved[name] for resolved in plans}) == 1, name


def test_a_batch_that_does_not_fit_is_accumulated_where_the_loss_is_the_same():
    memory = Memory(fixed=2 * GIB, per_image=0.15 * GIB)  # 23 · 0.92 GiB are enough for 127 images
    accumulated = plan(facts(100_000, memory=memory), Request('byol', backbone='resnet18'))
    assert (accumulated['batch_size'], accumulated['accumulation']) == (256, 4)
    assert (
        '64 × 4 accumulated: 256 needs 43 GB, 25 are free' in accumulated.settings['accumulation'].reason
        and not accumulated.warnings
    )
    smaller = plan(facts(100_000, memory=memory), Request('lewel-m', backbone='resnet18'))
    assert (smaller['batch_size'], smaller['accumulation']) == (120, 1)
    assert 'a batch of 256 does not fit: 120 instead, which is another loss' in smaller.warnings[0]
    assert smaller['lr'] == pytest.approx(0.06 * 120 / 256)


@pytest.mark.parametrize(('batch', 'gpus', 'smaller'), [(514, 1, 120), (509, 1, 120), (514, 2, 240), (129, 1, 120)])
def test_a_batch_of_few_divisors_stays_near_the_largest_that_fits(batch, gpus, smaller):
    memory = Memory(fixed=2 * GIB, per_image=0.15 * GIB)
    resolved = plan(facts(100_000, gpus=gpus, memory=memory), Request('lewel-m', batch_size=batch))
    assert (resolved['batch_size'], resolved['accumulation']) == (smaller, 1)


@pytest.mark.parametrize(('batch', 'gpus', 'near'), [(514, 1, 513), (509, 1, 508), (514, 2, 512), (131, 1, 130)])
def test_a_batch_that_is_accumulated_has_no_parts_of_a_few_images(batch, gpus, near):
    memory = Memory(fixed=2 * GIB, per_image=0.15 * GIB)
    with pytest.raises(SetupError, match=rf'^--batch-size is {batch}, and .*of 8 to 127 images .*; try {near}$'):
        plan(facts(100_000, gpus=gpus, memory=memory), Request('byol', batch_size=batch))
    resolved = plan(facts(100_000, gpus=gpus, memory=memory), Request('byol', batch_size=near))
    assert resolved['batch_size'] // resolved['ranks'] // resolved['accumulation'] >= 8


@pytest.mark.parametrize(
    ('request_', 'side', 'advice'),
    [
        (Request(), 1200, '--backbone resnet18 or --image-size 192'),
        (Request(image_size=100), 1200, '--backbone resnet18 or --image-size 96'),
        (Request(backbone='resnet18'), 190, '--image-size 128'),
        (Request(backbone='resnet18'), 32, '--gpus 0 for the CPU'),
    ],
)
def test_a_gpu_on_which_8_images_do_not_fit_is_refused(request_, side, advice):
    small = Machine((GPU(0, 'small', 6 * GIB, int(5.9e9), (8, 0)),), 16)
    memory = Memory(fixed=2e9, per_image=0.975e9)
    with pytest.raises(SetupError) as caught:
        plan(Facts(Folder(100_000, 100_000, median_short_side=side), small, memory=memory), request_)
    assert str(caught.value) == f'8 images need 9.8 GB and GPU 0 has 5.9 GB free; try {advice}'


NOTES = {  # images → what is printed of the plan, word for word
    10: [
        'note: 10 images are enough to try the installation, not to learn from',
        'note: batches of 8: 2 of 10 images sit out each epoch, different ones each time',
    ],
    100: [
        'note: batches of 16: 4 of 100 images sit out each epoch, different ones each time',
        'warning: a network learns little from 100 images alone; use --from to start from existing weights',
    ],
    1000: [
        'note: 1,000 images: batch 128 (recipe 256), queue 256 (recipe 65,536), 715 epochs; published successes from '
        'scratch start at about 2,000 images',
        'note: batches of 128: 104 of 1,000 images sit out each epoch, different ones each time',
    ],
    9400: [],
}


@pytest.mark.parametrize('images', NOTES)
def test_what_the_user_should_know_of_a_small_folder(images):
    texts = [str(finding) for finding in plan(facts(images), Request()).findings]
    assert [text for text in texts if 'not proven' not in text] == NOTES[images]
    continued = plan(facts(images, weights=Weights('a.pth', 'resnet18')), Request()).findings
    assert not any('published' in finding.text or '--from' in finding.text for finding in continued)


def test_too_few_images_for_the_gpus():
    resolved = plan(facts(100, gpus=8), Request())
    assert 'note: using 2 of 8 GPUs: 100 images do not fill more' in map(str, resolved.findings)
    assert resolved.settings['ranks'].reason == '2 of 8 GPUs: a batch of 16 is 8 images on each'
    chosen = plan(facts(1000, gpus=8), Request(batch_size=16))
    assert 'note: using 2 of 8 GPUs: batches of 16 do not fill more' in map(str, chosen.findings)


def test_given_weights_shorten_the_training_and_keep_the_rate():
    continued = plan(facts(9400, weights=Weights('resnet50.pth', 'resnet50')), Request())
    scratch = plan(facts(9400), Request())
    assert continued['backbone'] == 'resnet50' and continued['backbone_lr_mult'] == 1
    assert continued['epochs'] * (9212 // 256) >= 500 and continued['epochs'] <= scratch['epochs'] / 10 + 1
    with pytest.raises(SetupError, match=r'resnet50\.pth holds a resnet50, but --backbone is resnet18'):
        plan(facts(9400, weights=Weights('resnet50.pth', 'resnet50')), Request(backbone='resnet18'))


def test_the_length_with_given_weights_has_its_true_reason():
    weights = Weights('a.pth', 'resnet18')
    reasons = [plan(facts(count, weights=weights), Request()).settings['epochs'].reason for count in (10, 60_000)]
    assert reasons[0] == '500 steps: at least 500; a tenth of a training from random weights is 160'
    assert reasons[1].endswith(' steps: a tenth of a training from random weights')


@pytest.mark.parametrize(
    ('backbone', 'side', 'stem', 'reason'),
    [
        ('resnet18', 48, '3 × 3', 'views of 32 px'),
        ('resnet18', 128, 'standard', 'views of 128 px'),
        ('resnet10', 48, 'standard', 'the only one of resnet10'),
    ],
)
def test_the_stem_has_its_true_reason(backbone, side, stem, reason):
    setting = plan(facts(1_000, side=side), Request(backbone=backbone)).settings['stem']
    assert (setting.value, setting.reason) == (stem, reason)


@pytest.mark.parametrize(('kind', 'stem'), [('ResNet_CIFAR', '3 × 3'), ('ResNet', 'standard')])
def test_given_weights_have_their_own_stem(kind, stem):
    weights = Weights('a.pth', 'resnet18', dict(type=kind, depth=18))
    (setting,) = (s for s in plan(facts(100, side=48, weights=weights), Request()) if s.name == 'stem')
    assert (setting.value, setting.reason) == (stem, 'that of the given weights')
    note = 'a ResNet with a 3 × 3 stem is exported to safetensors and onnx only'
    assert setting.note == (note if stem == '3 × 3' else '')


@pytest.mark.parametrize(
    ('kind', 'depth', 'side', 'method', 'warned'),
    [
        ('ResNet', 18, 48, 'lewel-m', True),
        ('ResNet', 18, 32, 'lewel-b', True),
        ('ResNet', 18, 64, 'lewel-m', False),
        ('ResNet', 18, 32, 'mocov2', False),
        ('ResNet_CIFAR', 18, 32, 'lewel-m', False),
        ('lewel_plugins.ResNet10', None, 32, 'lewel-m', False),
    ],
)
def test_a_map_of_one_position_is_a_warning_of_lewel(kind, depth, side, method, warned):
    name = 'resnet10' if depth is None else 'resnet18'
    weights = Weights('a.pth', name, dict(type=kind, **({} if depth is None else dict(depth=depth))))
    resolved = plan(facts(100, side=side, weights=weights), Request(method))
    size = resolved['image_size']
    text = f'warning: views of {size} px leave one position of the map of resnet18, so that LEWEL_'
    assert any(str(finding).startswith(text) for finding in resolved.findings) == warned


@pytest.mark.parametrize(
    ('side', 'backbone', 'small'), [(64, 'resnet18', True), (64, 'resnet10', False), (96, None, False)]
)
def test_small_views_have_no_blur_and_a_stem_that_few_libraries_take(side, backbone, small):
    resolved = plan(facts(100_000, side), Request(backbone=backbone))
    assert resolved.settings['image_size'].reason.endswith('at most 64 px are not blurred') == (side <= 64)
    text = 'note: a ResNet with a 3 × 3 stem is exported to safetensors and onnx only; --image-size above 64 has'
    assert any(str(finding).startswith(text) for finding in resolved.findings) == small


@pytest.mark.parametrize(('batch', 'queue'), [(192, 16_320), (48, 16_368), (256, 16_384)])
def test_the_queue_of_mmpretrain_holds_whole_batches(batch, queue):
    resolved = plan(facts(100_000), Request('mocov2', batch_size=batch, holdout=0))
    assert resolved['queue_len'] == queue and queue % batch == 0
    reason = resolved.settings['queue_len'].reason
    assert reason.endswith(f'a multiple of the batch of {batch}') == (batch != 256)
    assert plan(facts(100_000), Request('mpcl-mocov2', batch_size=batch, holdout=0))['queue_len'] == 16_384


@pytest.mark.parametrize(
    ('request_', 'images', 'message'),
    [
        (Request('lewelm'), 100, "unknown method 'lewelm'; did you mean lewel-m?"),
        (Request(backbone='resnet_18'), 100, "unknown backbone 'resnet_18'; did you mean resnet18?"),
        (Request(backbone='vit-small'), 100, 'lewel-m does not take vit-small, which returns one vector'),
        (Request('byol', backbone='vit-small'), 100, 'or ConvNeXt, or --method mocov3 or mpcl-mocov3'),
        (
            Request('mocov3', backbone='vit-small', image_size=100),
            100,
            '--image-size must be a multiple of 16, the side of the patches of vit-small, got 100',
        ),
        (Request(batch_size=200), 100, '--batch-size must be 2 to 100, the number of images, got 200'),
        (Request(epochs=0), 100, '--epochs must be at least 1, got 0'),
        (Request(hours=-1), 100, '--hours must be positive, got -1'),
        (Request(image_size=8), 100, '--image-size must be at least 32, got 8'),
        (Request(holdout=99), 100, '--holdout must be 0 to 98, got 99'),
        (Request(gpus=4), 100, '--gpus is 4, but only 1 × RTX 4090 can be used'),
        (Request(workers=-1), 100, '--workers must be at least 0, got -1'),
        (Request(), 1, 'the folder holds one image; pretraining compares images with each other'),
        (Request(), 0, 'the folder holds no image'),
    ],
)
def test_refusals_name_the_value_and_what_is_accepted(request_, images, message):
    with pytest.raises(SetupError) as caught:
        plan(facts(images), request_)
    assert message in str(caught.value) and '\n' not in str(caught.value)


def test_gpus_that_are_in_use_or_differ_are_left_out():
    devices = (
        GPU(0, 'RTX 4090', 24 * GIB, 23 * GIB, (8, 9)),
        GPU(1, 'RTX 4090', 24 * GIB, 2 * GIB, (8, 9)),
        GPU(2, 'T4', 16 * GIB, 15 * GIB, (7, 5)),
        GPU(3, 'RTX 4090', 24 * GIB, 23 * GIB, (8, 9)),
    )
    resolved = plan(Facts(Folder(9400, 9400, median_short_side=500), Machine(devices, 8)), Request())
    assert [gpu.index for gpu in resolved['gpus']] == [0, 3] and resolved['precision'] == 'bfloat16'
    assert resolved.settings['gpus'].reason == '2 × RTX 4090; GPU 1 is in use'
    old = plan(Facts(Folder(9400, 9400, median_short_side=500), Machine(devices[2:3], 8)), Request())
    assert old['precision'] == 'float16'


def test_a_measured_step_sets_the_length():
    resolved = plan(facts(25_600, step_seconds=0.5), Request(hours=2.0, holdout=0))
    assert resolved['epochs'] == 144  # 7,200 s, 50 s per epoch
    assert resolved.settings['monitor_epochs'].reason == '20 times in all, and before the first step'
    once = plan(facts(25_600), Request(epochs=1)).settings['monitor_epochs']
    assert once.reason == '1 time in all, and before the first step'
