"""Train from a config: ``python tools/train.py CONFIG``."""

import argparse

from lewel_plugins.checkpoints import check_weights
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import (
    add_auto_scale_lr,
    add_config_options,
    add_launcher,
    merge_options,
    set_local_rank,
)
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.num_views import expand_num_views
from lewel_plugins.running.restarts import resume_or_restart
from lewel_plugins.running.standard_input import stop_at_end_of_input
from lewel_plugins.running.work_dir_lock import lock_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train from a config.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: work_dir of the config, or ./work_dirs/<name of the config>)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='checkpoint to resume from; without a value, the last one in the work dir, if any',
    )
    parser.add_argument(
        '--max-minutes',
        type=float,
        metavar='N',
        help='save and stop after N minutes, with exit status 75; go on with --resume',
    )
    parser.add_argument(
        '--stop-at-eof',
        action='store_true',
        help='save and stop, with exit status 75, when the standard input ends; a program that holds the other end of '
        'it leaves no training behind',
    )
    parser.add_argument(
        '--trust', action='store_true', help='unpickle all objects in the checkpoint, which can run code of the file'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 if the device has it)')
    parser.add_argument('--no-validate', action='store_true', help='skip validation during training')
    add_auto_scale_lr(parser)
    add_config_options(parser)
    add_launcher(parser)
    args = parser.parse_args()
    set_local_rank(args)
    return args


def main() -> None:
    args = parse_args()
    if args.stop_at_eof:
        stop_at_end_of_input()
    cfg = setup.load_config(args.config)
    merge_options(cfg, expand_num_views(cfg, args.cfg_options))
    setup.set_work_dir(cfg, args.work_dir, args.resume)
    setup.set_dataloader_defaults(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    setup.check_length(cfg)
    setup.check_images(cfg, args.launcher)
    if args.amp:
        setup.enable_amp(cfg)
    if args.auto_scale_lr:
        setup.enable_auto_scale_lr(cfg, args.launcher)
    setup.check_batch(cfg, args.launcher)
    if args.max_minutes is not None:
        setup.set_time_limit(cfg, args.max_minutes)
    lock_work_dir(cfg.work_dir, args.launcher)
    checkpoint = setup.set_resume(cfg, resume_or_restart(args.resume, cfg.work_dir), args.trust)
    setup.prepare(cfg, args.launcher)
    runner = setup.build_runner(cfg)
    if checkpoint is not None:
        check_weights(runner.model, checkpoint)
    runner.train()


if __name__ == '__main__':
    run_main(main)
