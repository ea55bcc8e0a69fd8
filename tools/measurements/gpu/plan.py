"""The rows of the check, in the order of their worth, with the time that each takes on an H100, by estimate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..steps.peers import OURS
from ..steps.recipes import METHODS
from .rows import Row
from .suite import test_files

PARTS = {
    'tests': 'the tests with the marker gpu',
    'step': 'step time of every method over its necessary passes',
    'memory': 'peak memory, speed and waits of every recipe',
    'waits': 'waits of the host in a training by the Runner',
    'precision': 'losses and gradients in bfloat16 against float32',
    'kernels': 'kernels of SyncBN and of the monitor, and views that are finished on the device',
    'peers': 'steps of mmpretrain and lightly',
    'channels_last': 'a step with channels_last and without',
    'compile': 'a compiled step and one that is not',
    'predictions': 'the dry runs that the memory is compared with; they need no GPU',
    'cifar': 'trainings on CIFAR-10 with a k-NN curve (with --data)',
}
PER_PAPER = ('LEWEL_M', 'LEWEL_B', 'MPCL on MoCo v2, M = 4', 'MSBReg, K = 2', 'SMoG')
RECIPES = (
    'lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py',
    'smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'msbreg/msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py',
    'msbreg/byol-multicrop_resnet50_8xb64-lars-coslr-300e_in1k.py',
    'mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'mpcl/mpcl-mocov3_resnet50_8xb512-lars-coslr-300e_in1k.py',
    'mpcl/mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k.py',
    'mpcl/mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k.py',
    'smog/smog_resnet50_16xb256-lars-multicrop-coslr-400e_in1k.py',
    'smog/smog_swin-tiny_16xb256-adamw-coslr-400e_in1k.py',
)
CIFAR = (
    'lewel/lewel-b_resnet18_1xb256-lars-coslr-100e_cifar10.py',
    'msbreg/msbreg-k4_resnet18_1xb512-lars-coslr-100e_cifar10.py',
    'mpcl/mpcl-mocov2_resnet18_1xb256-coslr-100e_cifar10.py',
    'smog/smog_resnet18_1xb256-lars-coslr-100e_cifar10.py',
)


@dataclass(frozen=True)
class Scale:
    """How large the shapes are, and how often a time is measured.

    Args:
        depth: Of the ResNet.
        size: Pixels of a view.
        batch: Images per step; None for those of each recipe.
        repeats: Repetitions of a time.
        calls: Calls per repetition.
        methods: Methods of ``step.py time``.
        recipes: Recipes whose memory is measured.
        layers: Shapes of SyncBN.
        features: Shapes of the monitor's features, with whether singular values are computed as well.
        waits: Recipes, images, iterations, and the interval of the log.
        cifar: Recipes, epochs, epochs between two evaluations, images per step.
    """

    depth: int
    size: int
    batch: int | None
    repeats: int
    calls: int
    methods: Sequence[str]
    recipes: Sequence[str]
    layers: Sequence[tuple[tuple[int, ...], bool]]
    features: Sequence[tuple[int, int, bool]]
    waits: tuple[Sequence[str], int, int, int]
    cifar: tuple[Sequence[str], int, int, int | None]


IMAGENET = Scale(
    depth=50,
    size=224,
    batch=None,
    repeats=3,
    calls=4,
    methods=tuple(method for method in METHODS if method not in ('SMoG, 30,000 groups', 'MSBReg, K = 8')),
    recipes=RECIPES,
    layers=(((128, 256, 56, 56), True), ((6272, 4096), True), ((64, 64, 8, 8), False)),
    features=((256, 512, True), (2048, 2048, True), (2048, 32768, False)),
    waits=((RECIPES[1], RECIPES[0]), 32, 30, 10),
    cifar=(CIFAR, 30, 3, None),
)
# The same code on shapes that a CPU can do. The figures mean nothing.
SMOKE = Scale(
    depth=18,
    size=32,
    batch=8,
    repeats=1,
    calls=1,
    methods=('LEWEL_M', 'MSBReg, K = 2'),
    recipes=('lewel/lewel-m_resnet10_1xb64-24e_garment-scenes.py',),
    layers=(((4, 8, 3, 3), True),),
    features=((16, 8, True),),
    waits=(('lewel/lewel-m_resnet10_1xb64-24e_garment-scenes.py',), 2, 4, 2),
    cifar=(CIFAR[2:3], 2, 1, 8),
)


def plan(
    device: str, data: Path | None, work_dir: Path, parts: Sequence[str] = (), names: Sequence[str] = ()
) -> list[Row]:
    """Return the rows of the check.

    Args:
        device: ``cuda`` or ``cpu``, on which the shapes are small.
        data: Folder of CIFAR-10; None for no training on it.
        work_dir: Folder for the trainings.
        parts: Parts to take; all by default.
        names: ``PART/NAME`` of the rows to take; all by default.
    """
    scale = SMOKE if device == 'cpu' else IMAGENET
    rows = [*_checks(scale), *_comparisons(scale), *_predictions(scale)]
    if data is not None:
        rows += _trainings(scale, data, work_dir)
    order = list(PARTS)
    rows.sort(key=lambda row: order.index(row.part))  # stable
    return [row for row in rows if (not parts or row.part in parts) and (not names or row.key in names)]


def _checks(scale: Scale) -> Iterator[Row]:
    timing = dict(repeats=scale.repeats, calls=scale.calls)
    shapes = dict(depth=scale.depth, size=scale.size, batch=scale.batch)
    for file in test_files():
        yield Row('tests', file.stem, '.suite.run_file', 20, dict(file=str(file)))
    for method in scale.methods:
        yield Row('step', method, '.training.step', 10, dict(method=method, **shapes, **timing))
    for recipe in scale.recipes:
        settings = dict(recipe=recipe, batch=scale.batch, **timing)
        yield Row('memory', Path(recipe).stem, '.recipes.memory', 8, settings)
    recipes, images, iterations, interval = scale.waits
    for recipe in recipes:
        settings = dict(recipe=recipe, batch=images, iterations=iterations, interval=interval)
        yield Row('waits', Path(recipe).stem, '.waits.in_a_training', 30, settings)
    for method in scale.methods:
        if 'mmpretrain' not in method:
            yield Row('precision', method, '.training.precision', 6, dict(method=method, **shapes))


def _comparisons(scale: Scale) -> Iterator[Row]:
    timing = dict(repeats=scale.repeats, calls=scale.calls)
    shapes = dict(depth=scale.depth, size=scale.size, batch=scale.batch)
    for shape, bf16 in scale.layers:
        name = f'SyncBN {_times(shape)} {"bfloat16" if bf16 else "float32"}'
        yield Row('kernels', name, '.kernels.sync_bn', 6, dict(shape=shape, bf16=bf16, **timing))
    for rows, channels, with_svd in scale.features:
        settings: dict[str, Any] = dict(rows=rows, channels=channels, with_svd=with_svd)
        yield Row('kernels', f'monitor {_times((rows, channels))}', '.kernels.monitor', 6, settings)
    settings = dict(scheme='BYOL', batch=scale.batch or 128, **timing)
    yield Row('kernels', 'views of BYOL', '.kernels.views', 15, settings)
    methods = [method for method in PER_PAPER if method in scale.methods]
    for method in OURS if scale is IMAGENET else ('MoCo v2',):
        yield Row('peers', method, '.training.peer', 15, dict(method=method, **shapes, **timing))
    for method in methods:
        settings = dict(name='weights', method=method, **shapes, **timing)
        yield Row('channels_last', method, '.training.switch', 12, settings)
    for method in methods[:2]:
        settings = dict(name='compile', method=method, **shapes, **timing)
        yield Row('compile', method, '.training.switch', 60, settings)


def _predictions(scale: Scale) -> Iterator[Row]:
    for recipe in scale.recipes:
        settings = dict(recipe=recipe, batch=scale.batch)
        yield Row('predictions', Path(recipe).stem, '.recipes.predict', 20, settings, needs_gpu=False)


def _trainings(scale: Scale, data: Path, work_dir: Path) -> Iterator[Row]:
    recipes, epochs, interval, batch = scale.cifar
    for recipe in recipes:
        settings = dict(recipe=recipe, epochs=epochs, interval=interval, batch=batch)
        paths = dict(data=data, work_dir=work_dir / Path(recipe).stem)
        yield Row('cifar', Path(recipe).stem, '.cifar.train', 60, dict(settings, **paths))


def _times(shape: Sequence[int]) -> str:
    return ' × '.join(map(str, shape))
