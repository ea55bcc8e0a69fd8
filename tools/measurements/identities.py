"""Print the largest differences between methods and what they must equal, in float64.

``python tools/measurements/identities.py`` writes ``docs/results/identities.md``; it runs a minute on one core. The
comparisons are those of the tests, so this needs a clone, with pytest; the tests only pass or fail, and here the
differences are printed.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from lewel_plugins.files import write_text
from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
for folder in ('', 'models/algorithms', 'models/necks'):
    sys.path.insert(0, str(ROOT / 'tests' / folder))

TITLES = {
    'lewel_b': 'LEWEL_B',
    'lewel_m': 'LEWEL_M',
    'lewel_m-eman': 'LEWEL_M, EMAN teacher',
    'smog-random': 'SMoG, random groups',
    'smog-average': 'SMoG, running average',
    'smog-detached': 'SMoG, detached groups',
    'lewel_b+regularizers': 'LEWEL_B + L_s + L_b',
    'msbreg': 'MSBReg, K = 3',
    'byol_multi_crop': 'BYOL with multi-crop',
    'smog': 'SMoG',
}
Row = tuple[str, str, dict[str, float]]


def upstream() -> Iterable[Row]:
    import test_lewel_neck
    from helpers import tiny, twins

    b = tiny.lewel_b(neck_changes=dict(coupled=False), teacher_norm='train', beta=0.0, momentum=0.3)
    m = tiny.lewel_m(neck_changes=dict(coupled=False), beta=0.0, momentum=0.3)
    yield 'LEWEL_B, β = 0, uncoupled', "mmpretrain's BYOL, 6 steps", twins.walk_together(b, twins.byol(b), 6)
    yield 'the same on ResNet-18', "mmpretrain's BYOL, 3 steps", twins.on_resnet('lewel_b', 3)
    yield 'LEWEL_M, β = 0, uncoupled', "mmpretrain's MoCo, 7 steps", twins.walk_together(m, twins.moco(m), 7)
    yield 'the same on ResNet-18', "mmpretrain's MoCo, 3 steps", twins.on_resnet('lewel_m', 3)
    half = tiny.msbreg(exclude_self=True, lambda_s=0.0, lambda_b=0.0, momentum=0.3)
    differences = twins.walk_together(half, twins.byol(half), 6, scale=2)
    yield 'MSBReg, K = 2, without the own target, no forces, × 2', "mmpretrain's BYOL, 6 steps", differences
    large = tiny.byol_multi_crop(momentum=0.3)
    yield (
        'BYOL with multi-crop, no small views',
        "mmpretrain's BYOL, 6 steps",
        twins.walk_together(large, twins.byol(large), 6),
    )
    yield from upstream_mpcl()
    neck = tiny.neck(alignment='uniform', num_groups=1)
    yield 'neck, uniform maps, h = 1', 'g and p on GAP', test_lewel_neck.differences_from_pooling(neck)


def upstream_mpcl() -> Iterable[Row]:
    from helpers import twins_mpcl

    for method, twin in (('mpcl_moco', 'MoCo'), ('mpcl_moco_v3', 'MoCoV3'), ('mpcl_barlow_twins', 'BarlowTwins')):
        title = f'MPCL on {twin}, M = 1'
        yield title, f"mmpretrain's {twin}, 7 steps", twins_mpcl.walk(method, None, 7)
        yield (
            'the same on ResNet-18',
            f"mmpretrain's {twin}, 2 steps",
            twins_mpcl.walk(method, twins_mpcl.RESNET, 2, 32),
        )
    vit = twins_mpcl.walk('mpcl_moco_v3', twins_mpcl.VIT, 2, 8, num_layers=3)
    yield 'MPCL on MoCoV3, M = 1, on a ViT', "mmpretrain's MoCoV3, 2 steps", vit


def functions(module: Any, title: str) -> Iterable[Row]:
    """Yield a row for each function in a test module's ``CASES``, with the worst of its inputs."""
    for name in dict.fromkeys(case[0] for case in module.CASES):
        differences = [module.differences(case) for case in module.CASES if case[0] == name]
        worst = {kind: max(values[kind] for values in differences) for kind in differences[0]}
        yield title.format(name), f'loops, {len(differences)} input{"s" * (len(differences) > 1)}', worst


def settings(changes: dict[str, Any]) -> str:
    return ', '.join(f'{name}={value}' for name, value in changes.items()) or 'defaults'


def loops_mpcl() -> Iterable[Row]:
    import test_functional_mpcl
    import test_multi_projector_neck
    from helpers import tiny, tiny_mpcl

    yield from functions(test_functional_mpcl, '`{}` of M projectors')
    for layers in test_multi_projector_neck.LAYERS:
        for shared in (False, True):
            neck = tiny_mpcl.neck(shared_hidden=shared, **layers)
            hidden = 'shared' if shared else 'separate'
            title = f'M = 3 projectors, {settings(layers)}, {hidden} hidden layers'
            yield title, 'loops', test_multi_projector_neck.differences(neck)
    for method, cls in tiny_mpcl.CLASSES.items():
        step = tiny_mpcl.step_differences(tiny_mpcl.build(method), tiny.images(5))
        yield f'{cls.__name__}, M = 3, uneven weights', 'loops', step


def loops_lewel() -> Iterable[Row]:
    import test_lewel_neck
    from helpers import tiny

    for changes in (dict(), dict(num_groups=2, aligned_channels=5), dict(coupled=False)):
        title = settings(changes)
        for mode in (True, False):
            differences = test_lewel_neck.differences(tiny.neck(**changes).train(mode))
            yield f'neck, {title}, {"training" if mode else "evaluation"}', 'loops', differences
        for norm in ('eman', 'train'):
            model = tiny.lewel_b(neck_changes=changes, teacher_norm=norm)
            yield f'LEWEL_B, {title}, {norm}', 'loops', tiny.step_differences(model, tiny.images(3))
        model = tiny.lewel_m(neck_changes=changes)
        yield f'LEWEL_M, {title}', 'loops', tiny.step_differences(model, tiny.images(3))


def loops_smog_and_msbreg() -> Iterable[Row]:
    import test_msbreg
    import test_smog
    from helpers import tiny

    for activation in ('relu', 'gelu'):
        model = tiny.smog(neck_changes=dict(activation=activation))
        yield f'SMoG, {activation}', 'loops', test_smog.step_differences(model, tiny.images(6))
    multi_crop = test_smog.step_differences(tiny.smog(num_views=5), test_smog.multi_crop(4, 3))
    yield 'SMoG, 2 large and 3 small views', 'loops', multi_crop
    for norm in ('BN', 'LN'):
        for standardize in (False, True):
            model = tiny.msbreg(neck_changes=dict(norm=norm, standardize=standardize))
            tiny.shrink(model)
            title = f'MSBReg, K = 3, {norm}{" and weight standardization" if standardize else ""}'
            yield title, 'loops', test_msbreg.step_differences(model, tiny.images(3, 3))


def loops() -> Iterable[Row]:
    import test_functional

    yield from functions(test_functional, '`{}`')
    yield from loops_lewel()
    yield from loops_smog_and_msbreg()
    yield from loops_mpcl()


def ranks() -> Iterable[Row]:
    import test_dist
    import test_mpcl_parity
    import test_parity
    from helpers import tiny_mpcl
    from helpers.ranks import on_ranks

    for world_size in (2, 4):
        with tempfile.TemporaryDirectory() as folder:
            results = on_ranks(world_size, Path(folder), test_dist.check_all)
            for name, function in (('gather', 'all_gather'), ('sum', 'all_reduce_sum')):
                yield f'`{function}`, {world_size} ranks', '1 process, all rows', test_dist.differences(results, name)
            results = on_ranks(world_size, Path(folder), test_parity.train_rank, world_size)
            for method in test_parity.METHODS:
                title = TITLES.get(method, method)
                differences = test_parity.differences(results, method)
                yield f'{title}, {world_size} ranks', f'1 process, {test_parity.STEPS} steps', differences
            results = on_ranks(world_size, Path(folder), test_mpcl_parity.train_rank, world_size)
            for method, cls in tiny_mpcl.CLASSES.items():
                differences = test_mpcl_parity.differences(results, method)
                yield f'{cls.__name__}, {world_size} ranks', f'1 process, {test_mpcl_parity.STEPS} steps', differences


SECTIONS = (
    (
        "mmpretrain's own methods, and pooling",
        'Both have the same weights and images and make several optimizer steps; both update their teachers. The state '
        'is what both have: online parameters, teacher, queue.',
        upstream,
    ),
    ('Explicit loops', 'Value or losses, and the gradients in every input and parameter.', loops),
    (
        'One process against several gloo ranks',
        "On the same global batch, with DDP's averaging of gradients; batch norm is in evaluation mode, so that only "
        'rounding differs. The state is everything that a checkpoint contains of the model, on every rank. L_a of '
        'LEWEL_M is local by definition: one process averages it over the chunks.',
        ranks,
    ),
)


def table(rows: Iterable[Row]) -> list[str]:
    lines = ['| what | against | value, loss | gradient | state |', '|---|---|---|---|---|']
    for title, against, differences in rows:
        value = differences.get('value', differences.get('loss'))
        states = [v for name, v in differences.items() if name in ('parameter', 'teacher', 'queue', 'state', 'groups')]
        gradient = differences['gradient']
        if title.startswith('`all_'):  # "parameter" is the gradient of a parameter behind the collective
            gradient, states = max(gradient, differences['parameter']), []
        state = f'{max(states):.1e}' if states else ''
        lines.append(f'| {title} | {against} | {value:.1e} | {gradient:.1e} | {state} |')
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description='Largest differences from what must be equal, in float64.')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'results' / 'identities.md', help='file to write')
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # mmengine logs every parameter that it initializes
    lines = [
        '# Identities: largest absolute differences, float64',
        '',
        f'`python tools/measurements/identities.py`, commit {provenance.commit()}, {provenance.machine()}.',
        'The networks are small (8 channels of 3 × 3) unless the row names another.',
    ]
    for title, text, rows in SECTIONS:
        print(f'\n{title}')
        lines += ['', f'## {title}', '', text, '', *table(rows())]
    write_text(args.out, '\n'.join([*lines, '']))
    print(f'\nwritten to {args.out}')


if __name__ == '__main__':
    main()
