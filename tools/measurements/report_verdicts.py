"""Verdicts of reports on trainings without a fault, and on trainings with a seeded fault.

Each row is one training by `lewel pretrain`: a ResNet-10 on garment scenes of 32 px, 640 to train on and 128 held out,
in batches of 32, for 200 steps at the rates of the plan, on a CPU. A fault is a setting or a folder that a user could
have. "Expected" is the verdict that should name the fault. The second table counts the runs by what was seeded and
by the verdicts of the report; a run may have several verdicts. Below it, the rules are applied to the curves of the
comparisons in this folder, which are of trainings without a fault; they hold few of the scalars, so that only the rules
named there can judge them.
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import seeded_faults  # noqa: F401  registers what the reports build again
import seeded_folders
from mmengine.registry import init_default_scope
from steps.report import Report

from lewel_plugins import pretrain
from lewel_plugins.api.training import STOPPED, TrainingError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.reporting.pictures import make_pictures
from lewel_plugins.reporting.run_data import read_runs
from lewel_plugins.reporting.verdicts import BAD, CAUTION, Judgement, Measures, judge

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'docs' / 'results'
IMAGES, HELD_OUT, BATCH, EPOCHS, LOGGED = 768, 128, 32, 10, 10
VERDICTS = (
    *('healthy', 'collapsed', 'unstable', 'not learning', 'memorizing', 'shortcut', 'few directions', 'input-bound'),
    'unknown',
)
BLAMES = (BAD, CAUTION)
KEPT = (
    *('loss', 'std', 'rank_me', 'uniformity', 'alignment', 'time', 'data_time', 'lr'),
    *('representation/rank_me', 'finds_view/train', 'finds_view/held_out', 'lidar/train', 'lidar/held_out'),
)
_OWN_HOOK = ('smog', 'mpcl')  # methods with a hook of their own, before the others'
LIDAR_VIEWS = 10


@dataclass(frozen=True)
class Case:
    """A training.

    Args:
        name: Its name.
        expected: The verdict that should be given.
        method: Method.
        folder: What makes its images, one of ``seeded_folders.FOLDERS``.
        settings: Settings of ``--set``.
        options: Further options of ``lewel pretrain``.
    """

    name: str
    expected: str
    method: str = 'lewel-m'
    folder: str = 'scenes'
    settings: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


def _watcher(method: str) -> str:
    """Return the place of ``ViewRetrievalHook``, after ``InitialValidationHook``."""
    return f'custom_hooks.{1 + method.startswith(_OWN_HOOK)}'


def _of_views(*settings: str) -> tuple[str, ...]:
    """Return settings of both views of LEWEL_M, in the training and in the monitor of the other view."""
    monitors = [f'{_watcher("lewel-m")}.dataloaders.{part}' for part in ('train', 'held_out')]
    return tuple(
        f'{loader}.dataset.dataset.pipeline.0.views.{view}.{setting}'
        for loader in ('train_dataloader', *monitors)
        for view in (0, 1)
        for setting in settings
    )


def _rate(value: float) -> str:
    return f'optim_wrapper.optimizer.lr={value:g}'


_SEEDED = 'custom_imports.imports=[seeded_faults]'
_PLAIN = ('crop_scale=1.0,1.0', 'crop_ratio=1.0,1.0', 'flip=0.0', 'jitter=0.0', 'gray=0.0')
CASES = (
    Case('LEWEL_M', 'healthy'),
    Case('rate ≈ 0', 'not learning', settings=(_rate(1e-8),)),
    Case(
        'no predictor, no teacher',
        'collapsed',
        'lewel-b',
        settings=(_SEEDED, 'model.head.type=lewel_plugins.NoPredictorHead', 'model.momentum=1.0'),
    ),
    Case('identical views', 'shortcut', settings=_of_views(*_PLAIN)),
    Case('a color per image', 'shortcut', folder='colors'),
    Case('rate × 30', 'unstable', settings=(_rate(30 * 0.0075),)),
    Case('LEWEL_B', 'healthy', 'lewel-b'),
    Case('non-finite loss', 'unstable', settings=(_rate(1e7),)),
    Case('96 images', 'memorizing', folder='few', options=(('holdout', 32), ('epochs', 100))),
    Case(
        'slow files',
        'input-bound',
        settings=(_SEEDED, 'train_dataloader.dataset.dataset.pipeline.0.type=lewel_plugins.SlowLoadViews'),
        options=(('epochs', 5),),
    ),
    Case('frozen teacher', 'not learning', settings=('model.momentum=0.0',)),
    Case('SMoG', 'healthy', 'smog'),
    Case('tinted scenes', 'shortcut', folder='tinted'),
    Case('marked scenes', 'shortcut', folder='marked'),
    Case('MSBReg', 'healthy', 'msbreg'),
    Case('MPCL on MoCo v2', 'healthy', 'mpcl-mocov2'),
    Case('BYOL', 'healthy', 'byol'),
    Case('Barlow Twins', 'healthy', 'barlowtwins'),
    Case('MoCo v2', 'healthy', 'mocov2'),
    Case('LEWEL_B, rate × 30', 'unstable', 'lewel-b', settings=(_rate(30 * 0.125),)),
    Case('LEWEL_M, seed 1', 'healthy', options=(('seed', 1),)),
)


def make_folder(name: str, data: Path, out: Path) -> Path:
    """Make the images of a case, unless they are there."""
    target = out / 'images' / name
    if not target.is_dir():
        paths = sorted((data / 'train').glob('*/*.jpg'))
        if len(paths) < IMAGES:
            sys.exit(f'error: {data}/train holds {len(paths)} images, {IMAGES} are needed; make_garment_scenes.py')
        unfinished = target.with_name(f'{name}.unfinished')
        shutil.rmtree(unfinished, ignore_errors=True)
        seeded_folders.FOLDERS[name](unfinished, [paths[i * len(paths) // IMAGES] for i in range(IMAGES)])
        unfinished.rename(target)
    return target


def train(case: Case, data: Path, out: Path) -> dict[str, Any]:
    """Train a case, or go on with it, and return what its report judges by."""
    folder = out / 'runs' / case.name.replace(' ', '-')
    options: dict[str, Any] = dict(epochs=EPOCHS, batch_size=BATCH, holdout=HELD_OUT, workers=1, gpus=0)
    settings = [f'default_hooks.{hook}.interval={LOGGED}' for hook in ('logger', 'monitor')]
    options |= dict(case.options)
    settings.append(f'{_watcher(case.method)}.lidar_views={LIDAR_VIEWS}')
    settings += [f'train_cfg.val_interval={options["epochs"] // EPOCHS or 1}', *case.settings]
    try:
        images = make_folder(case.folder, data, out)
        status = pretrain(
            images,
            folder,
            method=case.method,
            backbone='resnet10',
            overrides=settings,
            say=lambda text: None,
            **options,
        ).status
        if status != 'finished':
            sys.exit(STOPPED)
        end = 'finished'
    except TrainingError as error:
        end = str(error).partition(';')[0]
    run = read_runs([folder])[0]
    pictures = make_pictures(run)
    measures = run.measures(pictures.total, **pictures.measures)
    return dict(end=end, seconds=run.seconds, steps=run.steps, measures=_as_json(measures))


def _as_json(measures: Measures) -> dict[str, Any]:
    """Return measures as json values, with four digits of the curves that the rules or the guide need."""
    values = {name: value for name, value in vars(measures).items() if name != 'curves'}
    curves = {
        name: [steps, [float(f'{value:.4g}') for value in numbers]]
        for name, (steps, numbers) in measures.curves.items()
        if name in KEPT
    }
    return dict(values, curves=curves)


def judge_again(measures: dict[str, Any]) -> Judgement:
    """Apply the rules of today to the measures of a training."""
    curves = {name: (steps, values) for name, (steps, values) in measures['curves'].items()}
    return judge(Measures(**{**measures, 'curves': curves}))


def documented_curves() -> Iterator[tuple[str, Measures]]:
    """Yield the measures of each training in ``docs/results``, with the name of its file and row."""
    for path in sorted(RESULTS.glob('*_garment-scenes.json')):
        for row in read_json(path)['rows']:
            for curves in row.get('curves', {}).values():
                known = {name: (curve['iteration'], curve['value']) for name, curve in curves.items()}
                if known.keys() & set(KEPT):
                    last = max(steps[-1] for steps, _ in known.values())
                    yield f'{path.stem}: {row["name"]}', Measures(known, last, num_images=8000, rank_limit=128)


def add_row(report: Report, case: Case, record: dict[str, Any]) -> None:
    """Add a training with its verdicts by the rules of today."""
    judgement = judge_again(record['measures'])
    names = [verdict.name for verdict in judgement.verdicts]
    row = dict(asdict(case), verdicts={verdict.name: verdict.condition for verdict in judgement.verdicts})
    conditions = '; '.join(f'**{verdict.name}**: {verdict.condition}' for verdict in judgement.verdicts)
    is_right = names == ['healthy'] if case.expected == 'healthy' else case.expected in names
    report.add({**row, **record}, case.name, case.expected, conditions, 'yes' if is_right else 'no')


def write(report: Report, out: Path) -> None:
    """Write the tables."""
    rows, lines = report.rows, report.lines
    counts = Counter((row['expected'], name) for row in rows for name in row['verdicts'])
    report.lines = [*lines, '', f'| seeded | {" | ".join(VERDICTS)} |', '|---' * (len(VERDICTS) + 1) + '|']
    for expected in VERDICTS:
        total = sum(row['expected'] == expected for row in rows)
        if total:
            cells = (str(counts[expected, name] or '·') for name in VERDICTS)
            report.lines.append(f'| {expected} ({total}) | {" | ".join(cells)} |')
    documented, able = Counter[str](), Counter[str]()
    for row_name, measures in documented_curves():
        judgement = judge(measures)
        documented['trainings'] += 1
        able.update(name for name in VERDICTS[1:-1] if name not in judgement.unavailable)
        documented.update(f'{verdict.name} ({row_name})' for verdict in judgement.verdicts if verdict.level in BLAMES)
    blamed = {name: count for name, count in documented.items() if name != 'trainings'}
    report.lines += [
        '',
        f'{documented["trainings"]} trainings of comparisons; rules that could judge: '
        + ', '.join(f'{name} {count}' for name, count in able.items())
        + '. Verdicts: '
        + (', '.join(f'{name} {count}' for name, count in blamed.items()) or 'none')
        + '.',
    ]
    legend = (__doc__ or '').split('\n\n', 1)[1]
    report.write(out, legend, documented=dict(documented), able=dict(able))
    report.lines = lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--data', type=Path, default=Path('data/garment_scenes'), help='folder of garment scenes')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/report_verdicts'), help='folder of the runs')
    parser.add_argument('--cases', type=int, default=len(CASES), help='the first trainings only (default: all)')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these trainings only, by name')
    parser.add_argument('--out', type=Path, help='json file to write, with markdown tables beside it')
    args = parser.parse_args()
    init_default_scope('mmpretrain')
    here = str(Path(__file__).resolve().parent)
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [here, os.environ.get('PYTHONPATH')]))
    report = Report('Verdicts on healthy and on faulty trainings', 'training', 'expected', 'verdicts', 'as expected')
    unknown = {*(args.only or ())} - {case.name for case in CASES}
    if unknown:
        sys.exit(
            f'error: no training is named {sorted(unknown)[0]!r}; there are {", ".join(case.name for case in CASES)}'
        )
    for case in CASES[: args.cases]:
        if args.only and case.name not in args.only:
            continue
        file = args.work_dir / f'{case.name.replace(" ", "-")}.json'
        record = read_json(file)
        if record is None:
            record = train(case, args.data, args.work_dir)
            write_json(file, record)
        add_row(report, case, record)
        if args.out is not None:
            write(report, args.out)


if __name__ == '__main__':
    main()
