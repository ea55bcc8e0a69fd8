"""What each command of ``lewel`` does with its arguments."""

import argparse
import sys
from collections.abc import Callable
from typing import Any


def run(args: argparse.Namespace) -> int:
    """Run a command and return its exit status."""
    return globals()[f'_{args.command}'](args)


def _pretrain(args: argparse.Namespace) -> int:
    if args.dry_run:
        from lewel_plugins.api.check import check

        return _answer(check(args.images, out=args.out, **_training(args)))
    from lewel_plugins.api.pretrain import pretrain

    return _status(lambda: pretrain(args.images, args.out, **_training(args)))


def _status(command: Callable[[], Any]) -> int:
    """Run a command that trains, and return its exit status."""
    from lewel_plugins.api.training import EXIT_STATUS, TrainingError

    try:
        return EXIT_STATUS[command().status]
    except TrainingError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


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

    return _status(
        lambda: finetune(
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
    )


def _export(args: argparse.Namespace) -> int:
    from lewel_plugins.api.export import export

    export(args.run, args.to, args.out)
    return 0


def _worth(args: argparse.Namespace) -> int:
    from lewel_plugins.api.worth import worth

    return _status(
        lambda: worth(
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
    )


def _report(args: argparse.Namespace) -> int:
    from lewel_plugins.api.report import report

    print(f'report: {report(*args.runs, out=args.out, images=not args.no_images)}')
    return 0
