"""What each command of ``lewel`` does with its arguments."""

import argparse
import sys

from lewel_plugins.errors import SetupError


def run(args: argparse.Namespace) -> int:
    """Run a command and return its exit status."""
    return globals()[f'_{args.command}'](args)


def _pretrain(args: argparse.Namespace) -> int:
    from lewel_plugins.api.pretrain import pretrain
    from lewel_plugins.api.training import EXIT_STATUS, TrainingError

    try:
        result = pretrain(
            args.images,
            args.out,
            method=args.method,
            backbone=args.backbone,
            weights=args.weights,
            epochs=args.epochs,
            hours=args.hours,
            batch_size=args.batch_size,
            image_size=args.image_size,
            gpus=args.gpus,
            workers=args.workers,
            holdout=args.holdout,
            seed=args.seed,
            overrides=args.set,
        )
    except TrainingError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return EXIT_STATUS[result.status]


def _finetune(args: argparse.Namespace) -> int:
    from lewel_plugins.api.finetune import finetune
    from lewel_plugins.api.training import EXIT_STATUS, TrainingError

    try:
        result = finetune(
            args.task,
            args.start,
            args.data,
            args.out,
            epochs=args.epochs,
            gpus=args.gpus,
            seed=args.seed,
            overrides=args.set,
            dry_run=args.dry_run,
        )
    except TrainingError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return EXIT_STATUS[result.status]


def _export(args: argparse.Namespace) -> int:
    from lewel_plugins.api.export import export

    export(args.run, args.to, args.out)
    return 0


def _unavailable(args: argparse.Namespace) -> int:
    raise SetupError(f'lewel {args.command} is not built yet')


def _report(args: argparse.Namespace) -> int:
    from lewel_plugins.api.report import report

    print(f'report: {report(*args.runs, out=args.out, images=not args.no_images)}')
    return 0


_check = _worth = _unavailable
