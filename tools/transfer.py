"""Fine-tune a pretrained backbone on other tasks: ``python tools/transfer.py CHECKPOINT CONFIG [CONFIG ...]``.

The trainings run one after the other, each in a process of its own (tools/train.py), and start with all backbone
tensors of the checkpoint. After a kill, the same command goes on from the last checkpoint and does not repeat finished
trainings.

python tools/transfer.py work_dirs/mine/epoch_24.pth --out transfer.json --pictures \\
    configs/benchmarks/mmdetection/garment-scenes/mask-rcnn_resnet10_fpn_1xb8-6e_garment-scenes.py \\
    configs/benchmarks/mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_json, write_text
from lewel_plugins.planning.weights import weights_file
from lewel_plugins.running import transfer
from lewel_plugins.running.command_line import add_auto_scale_lr, add_config_options, merge_options
from lewel_plugins.running.commands import python_command
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.jobs import Job
from lewel_plugins.running.setup import check_images, enable_auto_scale_lr, load_config
from lewel_plugins.running.training_job import claim_training
from lewel_plugins.running.work_dir import last_checkpoint, last_metrics

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoint',
        help='checkpoint of a pretraining, folder of a run, or an exported backbone; '
        f'{transfer.RANDOM!r} for random weights',
    )
    parser.add_argument('configs', nargs='+', metavar='config', help='files under configs/benchmarks')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/transfer'),
        help='folder with one folder per config (default: work_dirs/transfer)',
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='json file for the last metrics of all configs')
    parser.add_argument('--seed', type=int, help='seed of the trainings (default: from each config)')
    parser.add_argument(
        '--processes', type=int, default=1, metavar='N', help='train on N processes of this machine (default: 1)'
    )
    parser.add_argument('--pictures', action='store_true', help='draw predictions.png in the folder of each config')
    parser.add_argument(
        '--resolve', action='store_true', help='train nothing, only write the configs and print their paths'
    )
    add_auto_scale_lr(parser)
    add_config_options(parser)
    args = parser.parse_args()
    if args.processes < 1:
        parser.error(f'--processes must be at least 1, got {args.processes}')
    return args


def run(*command: str | Path, processes: int = 1) -> None:
    """Run a tool, on one or several processes.

    Raises:
        SetupError: It has failed. Its output is above.
    """
    path = os.pathsep.join(filter(None, (str(TOOLS.parent), os.environ.get('PYTHONPATH'))))
    words = python_command([str(word) for word in command], processes, sys.executable)
    if subprocess.run(words, env={**os.environ, 'PYTHONPATH': path}).returncode:
        raise SetupError(f'failed: {" ".join(words)}')


def resolve(cfg: Config, checkpoint: str, work_dir: Path) -> tuple[Path, Job]:
    """Write the config and, beside it, the backbone that it starts from.

    Returns:
        Path of the config, and the job of the training.

    Raises:
        SetupError: The folder holds another run, or the checkpoint is missing or has no backbone.
    """
    random = checkpoint == transfer.RANDOM
    config = work_dir / 'launch' / Path(cfg.filename).name
    backbone = None if random else transfer.read_backbone(checkpoint)
    job = claim_training(work_dir, cfg, None if random else checkpoint)
    transfer.set_checkpoint(cfg, backbone, config.with_name('backbone.pth'))
    write_text(config, cfg.pretty_text)
    return config, job


def train(config: Path, work_dir: Path, job: Job, processes: int) -> None:
    """Train, unless that is done.

    Raises:
        SetupError: The training has failed.
    """
    if not job.is_done():
        run(TOOLS / 'train.py', config, '--work-dir', work_dir, '--resume', processes=processes)
        job.finish()


def main() -> None:
    args = parse_args()
    if args.checkpoint != transfer.RANDOM:
        args.checkpoint = weights_file(args.checkpoint)
    by_config: dict[str, dict[str, float]] = {}
    for path in args.configs:
        cfg = load_config(path)
        merge_options(cfg, args.cfg_options)
        if args.seed is not None:
            cfg.merge_from_dict({'randomness.seed': args.seed})
        if args.auto_scale_lr:
            enable_auto_scale_lr(cfg)
        if not args.resolve:  # which may be done on another machine
            check_images(cfg)
        work_dir = args.work_dir / Path(path).stem
        config, job = resolve(cfg, args.checkpoint, work_dir)
        if args.resolve:
            print(config)
            continue
        train(config, work_dir, job, args.processes)
        by_config[Path(path).stem] = last_metrics(work_dir)
        if args.pictures:
            out = work_dir / 'predictions.png'
            run(TOOLS / 'analysis' / 'predictions.py', config, last_checkpoint(work_dir), '--out', out)
    metrics = transfer.merge_metrics(by_config)
    for name, value in metrics.items():
        print(f'{name}: {value:.4f}')
    if args.out and metrics:
        write_json(args.out, metrics)


if __name__ == '__main__':
    run_main(main)
