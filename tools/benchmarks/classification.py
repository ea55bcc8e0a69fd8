"""Linear or semi-supervised evaluation of a checkpoint: ``classification.py CONFIG CKPT [--fast] [--json FILE]``.

Loads all tensors of the checkpoint's backbone, trains a config under configs/benchmarks/linear or
configs/benchmarks/semi on it, and measures the accuracy. After a kill, the same command goes on from the last
checkpoint. It refuses a folder with the run of another checkpoint, seed or config. ``--fast`` is for linear evaluation
without augmentation: one process extracts the features once, and several learning rates share them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from lewel_plugins.checkpoints import backbone_config, local_file, read_tensors
from lewel_plugins.datasets.labeled_split import is_given_list
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.linear_probe import build_classifier, check_fast, dropped_steps, linear_probe
from lewel_plugins.files import file_digest, write_json
from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import (
    add_auto_scale_lr,
    add_config_options,
    add_launcher,
    merge_options,
    set_local_rank,
)
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.training_job import claim_training
from lewel_plugins.running.work_dir import last_metrics
from lewel_plugins.running.work_dir_lock import lock_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Linear or semi-supervised evaluation of a checkpoint.')
    parser.add_argument('config', help='config under configs/benchmarks/linear or configs/benchmarks/semi')
    parser.add_argument('checkpoint', help='checkpoint of a pretraining, or an exported backbone')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<name of the config>)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='json file for the accuracies')
    parser.add_argument(
        '--seed',
        type=int,
        help='seed of the head, the order of the images and a random split (default: from the config)',
    )
    parser.add_argument(
        '--fast', action='store_true', help='train a linear classifier on features, without augmentation'
    )
    parser.add_argument('--lrs', nargs='+', type=float, help='learning rates with --fast (default: that of the config)')
    add_auto_scale_lr(parser)
    add_config_options(parser)
    add_launcher(parser)
    args = parser.parse_args()
    if args.lrs and not args.fast:
        parser.error('--lrs needs --fast')
    if args.fast and args.launcher != 'none':
        parser.error('--fast runs on one process')
    if args.fast and args.auto_scale_lr:
        parser.error(
            '--fast always uses the batch size that the learning rate was set for, so it takes no --auto-scale-lr'
        )
    set_local_rank(args)
    return args


def set_seed(cfg: Config, seed: int) -> None:
    """Set the run's seed and, if the training images are a random split, the seed of the split and its file.

    A user's list, such as that of SimCLR, is the same for every seed.

    Raises:
        SetupError: The file would have to hold the splits of several seeds.
    """
    cfg.randomness.seed = seed
    dataset = cfg.train_dataloader.dataset.get('dataset', {})
    is_split = dataset.get('type') == 'lewel_plugins.LabeledSplit' and dataset.get('fraction') is not None
    if is_split and not is_given_list(Path(dataset.split_file)):
        before = f'seed{dataset.get("seed", 0)}'
        name = Path(dataset.split_file).name
        if before not in name and seed != dataset.get('seed', 0):
            raise SetupError(
                f'--seed {seed} draws another split than the one in {dataset.split_file}: set another file by '
                f'--cfg-options train_dataloader.dataset.dataset.split_file=FILE'
            )
        dataset.split_file = str(Path(dataset.split_file).with_name(name.replace(before, f'seed{seed}')))
        dataset.seed = seed


def train(cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Train with the Runner and the config's augmentation; return the metrics of the last validation."""
    if args.auto_scale_lr:
        setup.enable_auto_scale_lr(cfg)
    setup.check_batch(cfg, args.launcher)
    setup.set_work_dir(cfg, args.work_dir)
    lock_work_dir(cfg.work_dir, args.launcher)
    claim_training(cfg.work_dir, cfg, args.checkpoint)
    # With the backbone in it, the config that the Runner writes beside the results does not need the checkpoint.
    cfg.model.setdefault('backbone', backbone_config(read_tensors(args.checkpoint), args.checkpoint))
    setup.set_dataloader_defaults(cfg)
    setup.set_resume(cfg, 'auto')
    setup.prepare(cfg, args.launcher)
    setup.build_runner(cfg).train()
    return last_metrics(cfg.work_dir) if is_main_process() else {}


def train_fast(cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Train on features; return the accuracy with the first learning rate, and with each."""
    check_fast(cfg)
    dropped = dropped_steps(cfg)
    if dropped:
        print(f'--fast: training images are processed as in validation, without {", ".join(dropped)}')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    MMLogger.get_instance('mmengine', log_level='WARNING')
    seed = cfg.randomness.seed
    model = build_classifier(cfg, seed)
    pipeline = cfg.val_dataloader.dataset.get('pipeline')
    bank = extract_features(model, plain_loader(cfg.train_dataloader, pipeline), 'features, training')
    query = extract_features(model, plain_loader(cfg.val_dataloader), 'features, validation')
    results = linear_probe(cfg, model.head, bank, query, args.lrs or [cfg.optim_wrapper.optimizer.lr], seed)
    by_rate = {f'{result.lr:g}': dict(top1=result.top1, top5=result.top5) for result in results}
    return {'accuracy/top1': results[0].top1, 'accuracy/top5': results[0].top5, 'by_rate': by_rate}


def main() -> None:
    args = parse_args()
    args.checkpoint = str(local_file(args.checkpoint))
    cfg = setup.load_config(args.config)
    merge_options(cfg, args.cfg_options)
    cfg.model.checkpoint = args.checkpoint
    if args.seed is not None:
        set_seed(cfg, args.seed)
    start = time.monotonic()
    metrics = (train_fast if args.fast else train)(cfg, args)
    if not is_main_process():
        return
    for name, value in metrics.get('by_rate', {}).items():
        print(f'learning rate {name}: top-1 {value["top1"]:.2f} %, top-5 {value["top5"]:.2f} %')
    print(f'top-1 {metrics["accuracy/top1"]:.2f} %, after {time.monotonic() - start:.0f} s')
    if args.json:
        named = {name.removeprefix('accuracy/'): value for name, value in metrics.items()}
        seconds = time.monotonic() - start
        source = dict(checkpoint=args.checkpoint, checkpoint_sha256=file_digest(args.checkpoint))
        write_json(args.json, dict(named, seed=cfg.randomness.seed, seconds=seconds, **source, **provenance.record()))


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
