"""From files in the repository to a pretrained backbone and pictures: ``make quickstart``.

Every step is a command of this repository that also runs alone. After a kill, the same command goes on where it stopped
and does not repeat finished steps.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_text
from lewel_plugins.running.jobs import Job
from lewel_plugins.running.work_dir import last_checkpoint, metric_curve

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'


class Quickstart:
    """Folder, files and steps of a quickstart.

    Args:
        args: Result of :func:`parse_args`.

    Raises:
        SetupError: The folder holds results from other arguments.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.out, self.data = args.work_dir.resolve(), args.data.resolve()
        self.sizes = ['--num-train', str(args.num_train), '--num-val', str(args.num_val)]
        self.options = training_options(self.data, args.epochs)
        self.run = self.out / 'lewel-b'
        self.minutes = self.run / 'training_minutes'
        self.baselines = self.out / 'baseline_knn.json'
        self.backbone = self.out / 'backbone.pth'
        self.maps = self.out / 'alignment_maps.png'
        self.curves = self.out / 'curves.png'
        inputs = dict(epochs=args.epochs, data=str(self.data), num_train=args.num_train, num_val=args.num_val)
        Job(self.out / 'job.json', inputs).claim([self.run, self.baselines])

    def run_all(self) -> None:
        """Run all steps."""
        draw_scenes = ['tools/data/make_garment_scenes.py', '--out', self.data, *self.sizes]
        step('1/6 Draw the scenes (half a minute)', draw_scenes)
        self._once(
            'baselines',
            '2/6 k-NN of raw pixels and of random initializations (half a minute)',
            ['tools/analysis/baseline_knn.py', CONFIG, '--out', self.baselines, *self.options],
        )
        self._train()
        checkpoint = last_checkpoint(self.run)
        export = ['tools/export_backbone.py', checkpoint, '--out', self.backbone]
        self._once('export', '4/6 Export the backbone', export)
        draw_maps = ['tools/analysis/alignment_maps.py', checkpoint, '--images', self.data / 'val']
        draw_maps += ['--masks', self.data / 'val_masks', '--out', self.maps]
        self._once('maps', '5/6 Alignment maps over images', draw_maps)
        draw_curves = ['tools/analysis/plot_curves.py', self.run, '--baselines', self.baselines, '--labels', 'LEWEL_B']
        step('6/6 Curves', [*draw_curves, '--out', self.curves])

    def _job(self, name: str, command: list[str | Path]) -> Job:
        return Job(self.out / 'steps' / f'{name}.json', dict(command=[str(word) for word in command]))

    def _once(self, name: str, title: str, command: list[str | Path]) -> None:
        job = self._job(name, command)
        if job.is_done():
            print(f'\n== {title}\n   done before', flush=True)
            return
        step(title, command)
        job.finish()

    def _train(self) -> None:
        """Train, or go on after a kill, and record the minutes of all starts together."""
        before = float(self.minutes.read_text()) if self.minutes.exists() else 0.0
        start = time.monotonic()
        train: list[str | Path] = ['tools/train.py', CONFIG, '--work-dir', self.run, '--resume', *self.options]
        was_done = self._job('train', train).is_done()
        try:
            self._once('train', '3/6 Pretrain LEWEL_B (up to ten minutes on two cores)', train)
        finally:
            if self.run.is_dir() and not was_done:
                write_text(self.minutes, f'{before + (time.monotonic() - start) / 60:.1f}\n')

    def summarize(self) -> None:
        """Print accuracies, files, and what to do next."""
        print('\n== 20-NN accuracy on the validation scenes, percent (chance: 10)')
        for name, row in json.loads(self.baselines.read_text()).items():
            if isinstance(row, dict) and 'knn/top1_k20' in row:
                accuracies = row['knn/top1_k20']
                print(f'   {name:<34}{sum(accuracies) / len(accuracies):6.1f}')
        for iteration, accuracy in metric_curve(self.run, 'knn/top1_k20').items():
            print(f'   {f"LEWEL_B after {iteration} iterations":<34}{accuracy:6.1f}')
        print(f'   training: {self.minutes.read_text().strip()} minutes')
        print('\n== Results')
        for name, file in (
            ('checkpoint, to resume from', last_checkpoint(self.run)),
            ('backbone, to fine-tune', self.backbone),
            ('alignment maps', self.maps),
            ('curves', self.curves),
        ):
            print(f'   {name:<28}{file}')
        print(
            '\n== Next, with your own images (a folder of any depth, no labels)\n'
            f'   {sys.executable} -m lewel_plugins pretrain /my/images --out runs/mine'
        )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Pretrain LEWEL_B on garment scenes and draw the results.')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='folder for all results')
    parser.add_argument(
        '--epochs', type=int, default=16, help='epochs of training (default: 16, two thirds of those in the config)'
    )
    parser.add_argument('--data', type=Path, default=Path('data/garment_scenes'), help='folder of the scenes')
    parser.add_argument('--num-train', type=int, default=8000, help='number of training scenes (default: 8000)')
    parser.add_argument('--num-val', type=int, default=2000, help='number of validation scenes (default: 2000)')
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f'--epochs must be at least 1, got {args.epochs}')
    return args


def step(title: str, command: list[str | Path]) -> None:
    """Run a tool of this repository.

    Raises:
        CalledProcessError: It has failed.
    """
    words = [str(word) for word in command]
    print(f'\n== {title}\n   python {shlex.join(words)}', flush=True)
    threads = dict(OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', str(os.cpu_count() or 1)))
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, env={**os.environ, **threads})


def training_options(data: Path, epochs: int) -> list[str]:
    """Return the ``--cfg-options`` that set the folder of the data and the number of epochs in the config."""
    interval = 1 if epochs < 10 else 2
    options = [
        f'train_dataloader.dataset.dataset.data_root={data}',
        f'val_dataloader.dataset.data_root={data}',
        f'val_cfg.bank_dataloader.dataset.data_root={data}',
    ]
    options += [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={interval}']
    options += [f'param_scheduler.0.T_max={epochs}', f'param_scheduler.0.end={epochs}']
    options += [f'default_hooks.checkpoint.interval={interval}']
    return ['--cfg-options', *options]


def main() -> None:
    quickstart = Quickstart(parse_args())
    quickstart.run_all()
    quickstart.summarize()


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        raise SystemExit(f'error: {error}') from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f'error: this step failed with exit code {error.returncode}; run it again to go on') from None
