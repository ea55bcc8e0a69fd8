"""Evaluate a checkpoint by all protocols that fit its data: ``python tools/evaluate.py CONFIG CKPT --out DIR``.

CONFIG is a suite of protocols, such as configs/benchmarks/evaluation_garment-scenes.py. ``knn``, ``linear`` and
``pictures`` share features that are extracted once; each further protocol is a command in CONFIG. Writes evaluation.md,
evaluation.json and the pictures. The same command later repeats only the protocols whose checkpoint, seed, config or
options have changed.
"""

import argparse
from pathlib import Path

from mmengine.logging import MMLogger

from lewel_plugins.checkpoints import local_file
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.random_checkpoint import write_random_checkpoint
from lewel_plugins.evaluation.suite import Suite
from lewel_plugins.evaluation.suite_report import write_suite_report
from lewel_plugins.files import write_json
from lewel_plugins.planning.weights import weights_file
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.entry_point import run_main

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint by all protocols that fit its data.')
    parser.add_argument('config', help='suite of protocols, such as configs/benchmarks/evaluation_garment-scenes.py')
    parser.add_argument(
        'checkpoint',
        help='checkpoint of a pretraining, folder of a run, exported backbone, or config whose backbone is initialized '
        'at random',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for table and pictures')
    parser.add_argument('--protocols', nargs='+', metavar='NAME', help='protocols to run (default: all)')
    parser.add_argument('--seed', type=int, default=0, help='seed of splits, classifiers and orders (default: 0)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write evaluation.json to this file as well')
    add_config_options(
        parser,
        'override settings: KEY=VALUE in the config of the linear evaluation, whose images k-NN and pictures use; '
        'PROTOCOL.KEY=VALUE in the config of another protocol',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    cfg = setup.load_config(args.config)
    is_config = args.checkpoint.endswith('.py')
    if not is_config:
        args.checkpoint = weights_file(args.checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    if is_config:
        checkpoint = write_random_checkpoint(args.checkpoint, args.seed, args.out)
    else:
        checkpoint = local_file(args.checkpoint)
    results = Suite(cfg, checkpoint, args.seed, args.out, TOOLS, args.cfg_options).run(args.protocols)
    record = dict(
        checkpoint=str(args.checkpoint),
        config=args.config,
        seed=args.seed,
        options=args.cfg_options,
        evaluation=results.metrics,
        failed=results.failures,
        origins=results.origins,
    )
    print(write_suite_report(record, [*sorted(args.out.glob('*.png')), *results.pictures], args.out))
    if results.failures:
        raise SetupError(f'{", ".join(results.failures)} failed; run it again to go on')
    if args.json:
        write_json(args.json, record)


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
