"""The experiments of ``lewel worth``, and the networks that some of them compare."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from lewel_plugins.api.run_folder import PLAN, START, RunFolder
from lewel_plugins.checkpoints import read_starting_weights
from lewel_plugins.datasets.garment_scenes.sources import CLASSES
from lewel_plugins.files import write_checkpoint, write_json
from lewel_plugins.payoff.finetuning import training_config
from lewel_plugins.payoff.material import Material
from lewel_plugins.planning.weights import weights_file

from . import scenes

SEEDS = 3
ZERO_RATE = 'optim_wrapper.optimizer.lr=0.0'
SUPERVISED_EPOCHS, SUPERVISED_RATE = 12, 0.1
_MULTI = ('backbone=resnet10', 'batch_size=64', 'image_size=32', 'test_share=0.5', 'workers=1')
_SINGLE = (*_MULTI, 'shots=5')
_RANDOM, _LEWEL = 'networks/random_seed0.pth', 'pretraining/C_seed0'  # in the folder of the first experiment


@dataclass(frozen=True)
class Experiment:
    """One experiment of ``lewel worth``.

    Args:
        name: Its name, and that of its folder.
        what: What is compared, in words.
        images: The images to pretrain on.
        labels: Their labels.
        fresh: Labeled images that the experiment does not see.
        fractions: Shares of the labels.
        overrides: Words of ``--set``.
        weights: What ``--from`` names.
        pretrained: What ``--pretrained`` names.
    """

    name: str
    what: str
    images: Path
    labels: Path
    fresh: Path
    fractions: tuple[float, ...]
    overrides: tuple[str, ...]
    weights: Path | None = None
    pretrained: Path | None = None

    def arguments(self) -> list[str]:
        """Return the arguments of the command, without ``--out``."""
        words = [str(self.images), '--labels', str(self.labels), '--seeds', str(SEEDS), '--fractions']
        words += [f'{share:g}' for share in self.fractions]
        words += ['--from', str(self.weights)] if self.weights else []
        words += ['--pretrained', str(self.pretrained)] if self.pretrained else []
        return [*words, '--set', *self.overrides]

    def request(self) -> dict[str, Any]:
        """Return the same arguments as of :func:`lewel_plugins.api.worth_request.check_request`."""
        return dict(
            images=[self.images],
            labels=self.labels,
            weights=self.weights,
            pretrained=self.pretrained,
            fractions=self.fractions,
            seeds=SEEDS,
            margin=1.0,
            group_by=None,
            hours=None,
            overrides=self.overrides,
        )


def experiments(work: Path) -> list[Experiment]:
    """Return the experiments in a folder, in their order: later ones compare networks of the first."""
    single = work / 'images.txt', work / 'labels.csv', work / 'single_fresh', (0.1, 1.0)
    multi = work / 'multi.txt', work / 'multi/garments', work / 'multi_fresh', (1.0,)
    frozen = (*_SINGLE, 'finetune=False')
    equal = (*_SINGLE, 'epochs=1', ZERO_RATE, 'model.backbone.norm_eval=True')
    supervised, copy = work / 'supervised.pth', work / 'supervised_run'
    random = work / 'pretraining' / _RANDOM
    same, gain, loss = (folder.with_name(name) for folder, _, name in _planted(work))
    return [
        Experiment('pretraining', 'LEWEL_M', *single, (*_SINGLE, 'epochs=20', 'finetune_epochs=10')),
        Experiment('segmenter', 'LEWEL_M', *multi, (*_MULTI, 'epochs=20', 'finetune_epochs=10')),
        Experiment(
            'equal', 'equal arms: rate 0, statistics of batch norm kept', *single, (*equal, 'finetune_epochs=3')
        ),
        Experiment('same-network', 'equal arms: one network as both', *single, frozen, copy, same),
        Experiment('zero-rate', 'rate 0: only the statistics of batch norm', *single, (*frozen, 'epochs=1', ZERO_RATE)),
        Experiment('gain', 'planted gain: supervised instead of random weights', *single, frozen, random, gain),
        Experiment('loss', 'planted loss: LEWEL_M instead of supervised weights', *single, frozen, supervised, loss),
        Experiment('small', 'supervised weights after a rate of 0', *single, frozen, supervised, copy),
    ]


def run(experiment: Experiment, folder: Path) -> str:
    """Run the command, which goes on where it was, or has nothing to do; return it."""
    words = ['worth', *experiment.arguments(), '--out', str(folder)]
    _call(words)
    return f'lewel {shlex.join(words)}'


def make_networks(work: Path) -> None:
    """Train a network on labels of other scenes, and pass it through a pretraining with rate 0, as a run.

    Copies of runs that record another start are the planted differences.
    """
    file, folder = work / 'supervised.pth', work / 'supervised_run'
    if not file.is_file():
        train_supervised(work / 'pretraining', work, file)
    if not RunFolder(folder).is_finished:
        images = work / 'pretraining/pretraining_images.txt'
        words = ['--epochs', '1', '--batch-size', '64', '--image-size', '32', '--workers', '1', '--holdout', '0']
        _call(['pretrain', str(images), '--out', str(folder), '--from', str(file), *words, '--set', ZERO_RATE])

    for run_folder, start, name in _planted(work):
        plant(run_folder, start, run_folder.with_name(name))


def _planted(work: Path) -> list[tuple[Path, Path, str]]:
    """Return the runs whose copies record another start, that start, and the names of the copies."""
    copy = work / 'supervised_run'
    return [
        (copy, copy, 'same_run'),
        (copy, work / 'pretraining' / _RANDOM, 'gain_run'),
        (work / 'pretraining' / _LEWEL, work / 'supervised.pth', 'loss_run'),
    ]


def plant(run_folder: Path, start: Path, out: Path) -> None:
    """Copy a run as one that continued from given weights, so that `lewel worth` judges the difference from them.

    Args:
        run_folder: Folder of the run.
        start: File of the weights, or folder of a run that ends with them.
        out: Folder to write beside that of the run. It stays as it is if it holds a run.
    """
    if (out / PLAN).is_file():
        return
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(run_folder, out, ignore=shutil.ignore_patterns(PLAN))
    read_starting_weights(str(start), weights_file(str(start))).write(out / START)
    record = RunFolder(run_folder).record()
    write_json(out / PLAN, dict(record, request=dict(record['request'], **{'from': str(start)})))


def train_supervised(answer: Path, work: Path, file: Path, say: Callable[[str], None] = print) -> None:
    """Train a network on the labels of scenes that no experiment tests with, and write it as an arm's network is.

    Args:
        answer: Folder of an experiment, whose random weights are the start.
        work: Folder of the scenes.
        file: File to write.
        say: Is called with the command.
    """
    paths = scenes.single_scenes(work / 'single/train')[scenes.UNLABELED :]
    targets = tuple(CLASSES.index(path.parent.name) for path in paths)
    rows = tuple(range(len(paths)))
    folder = work / 'supervised'
    material = Material(tuple(map(str, paths)), targets, CLASSES, rows, (), rows, 32, 1, folder)
    start = answer / 'networks/random_seed0.pth'
    say(f'supervised training on {len(paths):,} scenes')
    cfg = training_config(start, material, rows, SUPERVISED_RATE, 0, 1.0, SUPERVISED_EPOCHS, folder / 'training')
    init_default_scope('mmpretrain')
    runner = Runner.from_cfg(cfg)
    runner.train()
    state = {f'backbone.{name}': tensor for name, tensor in runner.model.backbone.state_dict().items()}
    pretraining = Config.fromfile(answer / 'pretraining.py')
    write_checkpoint(file, dict(meta=dict(cfg=pretraining.pretty_text, seed=0), state_dict=state))


def _call(words: list[str]) -> None:
    print(f'$ lewel {shlex.join(words)}', flush=True)
    status = subprocess.run([sys.executable, '-m', 'lewel_plugins', *words]).returncode
    if status:
        raise SystemExit(status)
