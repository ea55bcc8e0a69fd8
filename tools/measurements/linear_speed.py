"""Compare linear evaluation from features with the one that runs the backbone every epoch: accuracy, weights, seconds.

``python tools/measurements/linear_speed.py CONFIG CHECKPOINT [--epochs N ...]``. Both train without augmentation, from
the same first weights, on the same order of images.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.linear_probe import LinearResult, base_batch_size, build_classifier, linear_probe
from lewel_plugins.files import file_digest, write_json
from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.entry_point import run_main


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Compare linear evaluation from features with the slow one.')
    parser.add_argument('config', help='config under configs/benchmarks/linear')
    parser.add_argument('checkpoint', help='checkpoint of a pretraining, or an export')
    parser.add_argument('--epochs', type=int, default=3, help='epochs of both (3); the config sets the schedule')
    parser.add_argument('--lrs', nargs='+', type=float, help='learning rates (default: that of the config)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers to this file')
    add_config_options(parser)
    return parser.parse_args()


def run_slow(cfg: Config, lr: float) -> tuple[float, torch.Tensor, float]:
    """Train by the Runner; return seconds, weights and accuracy."""
    cfg = cfg.copy()
    cfg.optim_wrapper.optimizer.lr = lr
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        cfg.experiment_name = f'slow_{lr:g}_{time.monotonic_ns()}'
        cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs + 1  # the end is validated in any case
        setup.set_dataloader_defaults(cfg)
        setup.prepare(cfg, 'none')
        runner = setup.build_runner(cfg)
        start = time.monotonic()
        runner.train()
        seconds = time.monotonic() - start
        top1 = runner.message_hub.get_scalar('val/accuracy/top1').current()
        return seconds, runner.model.head.fc.weight.detach().cpu(), float(top1)


def run_fast(cfg: Config, lrs: list[float]) -> tuple[float, float, list[LinearResult]]:
    """Train from features; return the seconds of extraction and of training, and the results."""
    start = time.monotonic()
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = build_classifier(cfg, cfg.randomness.seed)
    bank = extract_features(model, plain_loader(cfg.train_dataloader), 'features, training')
    query = extract_features(model, plain_loader(cfg.val_dataloader), 'features, validation')
    extracted = time.monotonic()
    results = linear_probe(cfg, model.head, bank, query, lrs, cfg.randomness.seed)
    return extracted - start, time.monotonic() - extracted, results


def load_config(args: argparse.Namespace) -> Config:
    """Return the config without augmentation, for one process."""
    cfg = setup.load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    cfg.model.checkpoint = args.checkpoint
    cfg.train_dataloader.batch_size = base_batch_size(cfg)  # the slow one runs in one process here, too
    cfg.train_dataloader.dataset.dataset.pipeline = cfg.val_dataloader.dataset.pipeline
    cfg.log_level = 'ERROR'
    return cfg


def compare(cfg: Config, results: list[LinearResult]) -> list[dict[str, Any]]:
    """Run the slow evaluation for each learning rate; return a row with both accuracies for each."""
    rows = []
    for result in results:
        seconds, weight, top1 = run_slow(cfg, result.lr)
        largest = (result.weight.cpu() - weight).abs().max() / weight.abs().max()
        rows.append(dict(lr=result.lr, top1_fast=result.top1, top1_slow=top1, difference=float(largest), slow=seconds))
    return rows


def print_table(record: dict[str, Any], whole: int) -> None:
    """Print the accuracies and times; ``whole`` is the number of epochs in the config."""
    print('| learning rate | slow top-1, % | fast top-1, % | weights differ by |\n|---|---|---|---|')
    for row in record['rates']:
        print(f'| {row["lr"]:g} | {row["top1_slow"]:.2f} | {row["top1_fast"]:.2f} | {row["difference"]:.1e} |')
    print(
        f'{record["epochs"]} epochs, {len(record["rates"])} learning rates: slow {record["slow_seconds"]:.1f} s, '
        f'fast {record["extraction_seconds"]:.1f} s (features) + {record["training_seconds"]:.1f} s: '
        f'{record["speed_up"]:.1f} times as fast; at all {whole} epochs '
        f'{record["speed_up_of_whole_recipe"]:.0f} times'
    )


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    cfg = load_config(args)
    whole, cfg.train_cfg.max_epochs = cfg.train_cfg.max_epochs, args.epochs
    extraction, training, results = run_fast(cfg, args.lrs or [cfg.optim_wrapper.optimizer.lr])
    rows = compare(cfg, results)
    slow = sum(row['slow'] for row in rows)
    record = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        checkpoint_sha256=file_digest(args.checkpoint),
        seed=cfg.randomness.seed,
        epochs=args.epochs,
        **provenance.record(),
        extraction_seconds=extraction,
        training_seconds=training,
        slow_seconds=slow,
        speed_up=slow / (extraction + training),
        speed_up_of_whole_recipe=slow * whole / args.epochs / (extraction + training * whole / args.epochs),
        rates=rows,
    )
    print_table(record, whole)
    if args.json:
        write_json(args.json, record)


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
