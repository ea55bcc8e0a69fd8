"""What each command of ``lewel`` does with its arguments."""

import argparse
import sys
from typing import Any


def run(args: argparse.Namespace) -> int:
    """Run a command and return its exit status."""
    return globals()[f'_{args.command}'](args)


def _pretrain(args: argparse.Namespace) -> int:
    if args.dry_run:
        from lewel_plugins.api.check import check

        return _answer(check(args.images, out=args.out, **_training(args)))
    from lewel_plugins.api.pretrain import pretrain
    from lewel_plugins.api.training import EXIT_STATUS, TrainingError

    try:
        result = pretrain(args.images, args.out, **_training(args))
    except TrainingError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return EXIT_STATUS[result.status]


def _check(args: argparse.Namespace) -> int:
    from lewel_plugins.api.check import check

    return _answer(check(args.images, seconds=args.seconds, json=args.json, **_training(args)))


def _answer(result: Any) -> int:
    return 0 if result.ok else 3


def _training(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that ``pretrain`` and ``check`` have in common."""
    names = ['method', 'backbone', 'weights', 'epochs', 'hours', 'batch_size', 'image_size', 'gpus', 'workers']
    names += ['labels', 'holdout', 'seed']
    return {**{name: getattr(args, name) for name in names}, 'overrides': args.set}


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


def _worth(args: argparse.Namespace) -> int:
    from lewel_plugins.api.training import EXIT_STATUS, TrainingError
    from lewel_plugins.api.worth import worth

    try:
        result = worth(
            args.images,
            args.labels,
            args.out,
            weights=args.weights,
            pretrained=args.pretrained,
            fractions=args.fractions,
            seeds=args.seeds,
            margin=args.margin,
            group_by=args.group_by,
            hours=args.hours,
            overrides=args.set,
            dry_run=args.dry_run,
        )
    except TrainingError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return EXIT_STATUS[result.status]


def _report(args: argparse.Namespace) -> int:
    from lewel_plugins.api.report import report

    print(f'report: {report(*args.runs, out=args.out, images=not args.no_images)}')
    return 0
