"""Values that `lewel pretrain` plans, beside others: the rate of a given backbone, and the length.

A row is one setting on two data sets, CIFAR-10 and garment scenes: 20-NN accuracy in percent at the start and at the
end, mean over the seeds ± their standard deviation. The bank are the 2,000 images of the training, the queries 2,000
others. The network is a ResNet-10 on views of 32 px, trained by LEWEL_M in batches of 32 on a CPU, and all else is as
planned. Rows with "rate" or "from" start from a training of 2,500 steps on the other data set. Bold is what is planned.
"""

import argparse
import shutil
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steps.report import Report

from lewel_plugins import pretrain
from lewel_plugins.api.training import STOPPED
from lewel_plugins.files import read_json, write_json
from lewel_plugins.planning.plan import BACKBONE_SHARE, LEAST_CONTINUED_STEPS, STEPS
from lewel_plugins.reporting.run_data import read_runs

TRAINED, HELD_OUT, BATCH, SIDE = 2000, 2000, 32, 32
EPOCH = TRAINED // BATCH  # steps
ACCURACY = 'knn/top1_k20'
DATA = ('CIFAR-10', 'garment scenes')
SHARES = (1.0, 0.3, 0.1, 0.03)  # rate of the backbone over that of the heads
CONTINUED = (125, 250, 500, 1000, 2000)  # steps
LENGTHS = (1250, 2500, 5000)  # steps from random weights


@dataclass(frozen=True)
class Case:
    """Trainings that differ in data and seed only.

    Args:
        name: Its name.
        steps: Length; it is rounded up to whole epochs.
        continued: Whether it starts from weights.
        share: Rate of the backbone over that of the heads, if it starts from weights.
    """

    name: str
    steps: int
    continued: bool = False
    share: float = BACKBONE_SHARE

    @property
    def is_planned(self) -> bool:
        """Whether these are the values of the plan."""
        usual = LEAST_CONTINUED_STEPS if self.continued else STEPS
        return (self.steps, self.share) == (usual, BACKBONE_SHARE)


SOURCE = Case('random, 2,500 steps', 2500)
CASES = (
    SOURCE,
    *(Case(f'from, rate × {share:g}', LEAST_CONTINUED_STEPS, continued=True, share=share) for share in SHARES),
    *(Case(f'from, {steps:,} steps', steps, continued=True) for steps in CONTINUED if steps != LEAST_CONTINUED_STEPS),
    *(Case(f'random, {steps:,} steps', steps) for steps in LENGTHS if steps != SOURCE.steps),
)


def make_folder(source: Path, target: Path) -> Path:
    """Copy images from class folders, the same number of every class, unless they are there."""
    if not target.is_dir():
        paths = sorted(source.glob('*/*.jpg'))
        number = TRAINED + HELD_OUT
        if len(paths) < number:
            sys.exit(f'error: {source} holds {len(paths)} images, {number} are needed')
        unfinished = target.with_name(f'{target.name}.unfinished')
        shutil.rmtree(unfinished, ignore_errors=True)
        for i in range(number):
            path = paths[i * len(paths) // number]
            (unfinished / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, unfinished / path.parent.name / path.name)
        unfinished.rename(target)
    return target


def run_folder(work: Path, case: Case, data: str, seed: int) -> Path:
    """Return the folder of a training."""
    words = f'{data} {case.name} {seed}'.replace('×', '').replace(',', '').split()
    return work / 'runs' / '-'.join(words)


def train(case: Case, data: str, seed: int, images: Path, work: Path) -> dict[str, Any]:
    """Train, or go on with it, and return the accuracies at the start and at the end."""
    epochs = -(-case.steps // EPOCH)
    overrides = [f'train_cfg.val_interval={epochs}']
    weights = None
    if case.continued:
        weights = run_folder(work, SOURCE, DATA[1 - DATA.index(data)], 0)
        overrides.append(f'optim_wrapper.paramwise_cfg.backbone_lr_mult={case.share:g}')
    out = run_folder(work, case, data, seed)
    status = pretrain(
        images,
        out,
        method='lewel-m',
        backbone=None if case.continued else 'resnet10',
        weights=weights,
        epochs=epochs,
        batch_size=BATCH,
        image_size=SIDE,
        labels=images,
        holdout=HELD_OUT,
        workers=1,
        gpus=0,
        seed=seed,
        overrides=overrides,
        say=lambda text: None,
    ).status
    if status != 'finished':
        sys.exit(STOPPED)
    run = read_runs([out])[0]
    steps, values = run.curves[ACCURACY]
    for checkpoint in out.glob('*.pth'):
        if checkpoint.name.startswith(('epoch_', 'iter_')):
            checkpoint.unlink()
    return dict(start=values[0], end=values[-1], steps=steps[-1], seconds=run.seconds)


def cell(records: list[dict[str, Any]]) -> str:
    """Return the accuracies of a setting on a data set, over its seeds."""
    start, ends = statistics.mean(r['start'] for r in records), [r['end'] for r in records]
    spread = f' ± {statistics.stdev(ends):.1f}' if len(ends) > 1 else ''
    return f'{start:.1f} → {statistics.mean(ends):.1f}{spread}'


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--cifar10', type=Path, default=Path('data/cifar10'), help='folder of CIFAR-10 as JPEG files')
    parser.add_argument('--scenes', type=Path, default=Path('data/garment_scenes'), help='folder of garment scenes')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/planned_values'), help='folder of the runs')
    parser.add_argument('--seeds', type=int, default=3, help='seeds of the rows that start from weights (default: 3)')
    parser.add_argument('--random-seeds', type=int, default=1, help='seeds of the other rows (default: 1)')
    parser.add_argument('--out', type=Path, help='json file to write, with a markdown table beside it')
    args = parser.parse_args()
    folders = {
        name: make_folder(source / 'train', args.work_dir / 'images' / name.replace(' ', '-'))
        for name, source in zip(DATA, (args.cifar10, args.scenes))
    }
    report = Report('Planned values beside others', 'setting', *DATA, 'seeds')
    for case in CASES:
        seeds = args.seeds if case.continued else args.random_seeds
        row: dict[str, Any] = {}
        for data, images in folders.items():
            row[data] = []
            for seed in range(seeds):
                folder = run_folder(args.work_dir, case, data, seed)
                file = folder.with_name(f'{folder.name}.json')
                record = read_json(file)
                if record is None:
                    record = train(case, data, seed, images, args.work_dir)
                    write_json(file, record)
                row[data].append(record)
        name = f'**{case.name}**' if case.is_planned else case.name
        report.add({**asdict(case), **row}, name, *(cell(row[data]) for data in DATA), seeds)
        report.write(args.out, (__doc__ or '').split('\n\n', 1)[1])


if __name__ == '__main__':
    main()
