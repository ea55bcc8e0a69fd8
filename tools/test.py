"""Evaluate a checkpoint with a config's test loop: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse

import mmengine
from mmengine.dist import is_main_process

from lewel_plugins.checkpoints import check_weights, read_tensors, refuse_older
from lewel_plugins.errors import SetupError
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options, add_launcher, merge_options, set_local_rank
from lewel_plugins.running.entry_point import run_main


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint with a config's test loop.")
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of the whole model')
    parser.add_argument(
        '--work-dir', help='folder for the log (default: work_dir of the config, or ./work_dirs/<name of the config>)'
    )
    parser.add_argument('--out', metavar='FILE', help='.json, .yaml or .pkl file for the metrics')
    add_config_options(parser)
    add_launcher(parser)
    args = parser.parse_args()
    if args.out and not args.out.endswith(('.json', '.yaml', '.yml', '.pkl')):
        parser.error(f'--out must end in .json, .yaml, .yml or .pkl, not {args.out!r}')
    set_local_rank(args)
    return args


def main() -> None:
    args = parse_args()
    cfg = setup.load_config(args.config)
    merge_options(cfg, args.cfg_options)
    if cfg.get('test_cfg') is None:
        raise SetupError(f'{args.config} has no test_cfg, which defines how to evaluate')
    setup.set_work_dir(cfg, args.work_dir)
    setup.set_dataloader_defaults(cfg)
    refuse_older(read_tensors(args.checkpoint), args.checkpoint)
    cfg.load_from = args.checkpoint
    setup.prepare(cfg, args.launcher)
    runner = setup.build_runner(cfg)
    check_weights(runner.model, args.checkpoint)
    metrics = runner.test()
    if args.out and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    run_main(main)
