"""From files in the repository to a pretrained backbone and pictures: ``make quickstart``.

Every step is a command of this repository that can be run alone; what is done already is not done again.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
OWN_IMAGES = 'configs/lewel/lewel-b_resnet18_1xb256-lars-coslr-200e_image-folder.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Pretrain LEWEL_B on garment scenes and draw what came out.')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='folder for all results')
    parser.add_argument('--epochs', type=int, default=16, help='epochs of training (16: two thirds of the config)')
    parser.add_argument('--data', type=Path, default=Path('data/garment_scenes'), help='folder of the scenes')
    parser.add_argument('--num-train', type=int, default=8000, help='training scenes to make (8000)')
    parser.add_argument('--num-val', type=int, default=2000, help='validation scenes to make (2000)')
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f'--epochs must be at least 1, got {args.epochs}')
    return args


def step(title: str, command: list[str | Path], done: Path | None = None) -> None:
    """Run a tool of this repository unless ``done`` is there."""
    words = [str(word) for word in command]
    print(f'\n== {title}\n   python {shlex.join(words)}', flush=True)
    if done is not None and done.exists():
        print(f'   done before: {done}', flush=True)
        return
    threads = dict(OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', str(os.cpu_count() or 1)))
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, env={**os.environ, **threads})


def training_options(data: Path, epochs: int) -> list[str]:
    """``--cfg-options`` that point the config to ``data`` and give it ``epochs``."""
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


def check_same_job(args: argparse.Namespace, file: Path) -> None:
    """Note what was asked for in ``file``; refuse a folder that holds something else."""
    asked = dict(epochs=args.epochs, data=str(args.data.resolve()), num_train=args.num_train, num_val=args.num_val)
    if not file.exists():
        file.write_text(json.dumps(asked, indent=2) + '\n')
        return
    before = json.loads(file.read_text())
    other = [f'{key} {before.get(key)}, now {value}' for key, value in asked.items() if before.get(key) != value]
    if other:
        raise SystemExit(
            f'error: {file.parent} holds results of another job ({"; ".join(other)}): '
            'name another folder with --work-dir, or remove this one'
        )


def train(run: Path, options: list[str]) -> None:
    """Train, or go on after an interruption; ``training_minutes`` and ``finished`` say how it went."""
    minutes, finished = run / 'training_minutes', run / 'finished'
    before = float(minutes.read_text()) if minutes.exists() else 0.0
    start = time.monotonic()
    try:
        step(
            '3/6 Pretrain LEWEL_B (up to ten minutes on two cores)',
            ['tools/train.py', CONFIG, '--work-dir', run, '--resume', *options],
            finished,
        )
    finally:
        if run.is_dir() and not finished.exists():
            minutes.write_text(f'{before + (time.monotonic() - start) / 60:.1f}\n')
    finished.touch()


def knn_curve(run: Path) -> list[tuple[int, float]]:
    """(iteration, k-NN accuracy in per cent) of every validation of a run, over all its starts."""
    points: dict[int, float] = {}
    for file in sorted(run.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if 'knn/top1_k20' in record:
                points[record['step']] = record['knn/top1_k20']
    return sorted(points.items())


def main() -> None:
    args = parse_args()
    out, data = args.work_dir.resolve(), args.data.resolve()
    run = out / 'lewel-b'
    out.mkdir(parents=True, exist_ok=True)
    check_same_job(args, out / 'job.json')
    options = training_options(data, args.epochs)
    baselines, curves, maps, backbone = (
        out / name for name in ('baseline_knn.json', 'curves.png', 'alignment_maps.png', 'backbone.pth')
    )
    sizes = ['--num-train', str(args.num_train), '--num-val', str(args.num_val)]
    step('1/6 Draw the scenes (half a minute)', ['tools/data/make_garment_scenes.py', '--out', data, *sizes])
    step(
        '2/6 k-NN of raw pixels and of random initialisations (half a minute)',
        ['tools/analysis/baseline_knn.py', CONFIG, '--out', baselines, *options],
        baselines,
    )
    train(run, options)
    checkpoint = Path((run / 'last_checkpoint').read_text().strip())
    step('4/6 Export the backbone', ['tools/export_backbone.py', checkpoint, '--out', backbone], backbone)
    draw_maps = ['tools/analysis/alignment_maps.py', checkpoint, '--images', data / 'val']
    draw_maps += ['--masks', data / 'val_masks']
    step('5/6 Alignment maps over images', [*draw_maps, '--out', maps], maps)
    draw_curves = ['tools/analysis/plot_curves.py', run, '--baselines', baselines, '--labels', 'LEWEL_B']
    step('6/6 Curves', [*draw_curves, '--out', curves])
    summary(baselines, run, checkpoint, backbone, maps, curves)


def summary(baselines: Path, run: Path, checkpoint: Path, backbone: Path, maps: Path, curves: Path) -> None:
    """Print accuracies, files, and what to do next."""
    print('\n== 20-NN accuracy on the validation scenes, per cent (chance: 10)')
    measured = json.loads(baselines.read_text())
    for name in ('raw pixels', 'random initialisation'):
        values = measured[name]['knn/top1_k20']
        print(f'   {name:<34}{sum(values) / len(values):6.1f}')
    for iteration, accuracy in knn_curve(run):
        print(f'   {f"LEWEL_B after {iteration} iterations":<34}{accuracy:6.1f}')
    print(f'   training: {(run / "training_minutes").read_text().strip()} minutes')
    print('\n== Results')
    for name, file in (
        ('checkpoint, to resume from', checkpoint),
        ('backbone, to fine-tune', backbone),
        ('alignment maps', maps),
        ('curves', curves),
    ):
        print(f'   {name:<28}{file}')
    print(
        '\n== Next, with your own images (a folder of any depth, no labels)\n'
        f'   {sys.executable} tools/train.py {OWN_IMAGES} \\\n'
        '       --work-dir runs/mine --cfg-options train_dataloader.dataset.dataset.data_root=/my/images'
    )


if __name__ == '__main__':
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f'error: this step failed with exit code {error.returncode}; run it again to go on') from None
