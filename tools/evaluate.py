"""Evaluate a checkpoint by all protocols that fit its data: ``python tools/evaluate.py CONFIG CKPT --out DIR``.

CONFIG is a list of protocols, such as configs/benchmarks/evaluation_garment-scenes.py. ``knn``, ``linear`` and
``pictures`` share features that are extracted once; every other protocol is a command of CONFIG that writes its numbers
to a json. Writes evaluation.md, evaluation.json and the pictures. What is done already is not done again, unless the
checkpoint, the seed, a config or an option has changed.
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader

from lewel_plugins.checkpoints import model_config
from lewel_plugins.comparison.run import flatten
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.feature_metric import FeatureSet
from lewel_plugins.evaluation.knn import knn_classes, nearest
from lewel_plugins.evaluation.linear_probe import build_classifier, dropped_steps, linear_probe
from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.files import read_json, write_json, write_text
from lewel_plugins.visualization.confusion_matrix import confusion_matrix, draw_confusion_matrix
from lewel_plugins.visualization.embedding_map import map_embeddings
from lewel_plugins.visualization.images import to_rgb
from lewel_plugins.visualization.neighbours import Neighbours, draw_neighbours

TOOLS = Path(__file__).resolve().parent
ON_FEATURES = ('knn', 'linear', 'pictures')


class Measured(NamedTuple):
    """What protocols have come to.

    Attributes:
        metrics: By protocol.
        failed: Messages by protocol.
        pictures: That commands have drawn.
    """

    metrics: dict[str, Any]
    failed: dict[str, str]
    pictures: list[Path]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint by all protocols that fit its data.')
    parser.add_argument('config', help='list of protocols, as configs/benchmarks/evaluation_garment-scenes.py')
    parser.add_argument(
        'checkpoint', help='checkpoint of a pretraining, an export, or a config: that one at random initialisation'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for table and pictures')
    parser.add_argument('--protocols', nargs='+', metavar='NAME', help='some of them (default: all)')
    parser.add_argument('--seed', type=int, default=0, help='of splits, heads and orders (0)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write evaluation.json to this file, too')
    add_config_options(
        parser,
        "override settings: KEY=VALUE in the linear evaluation's config, whose images k-NN and pictures share; "
        'PROTOCOL.KEY=VALUE in the config of a command, as its --cfg-options',
    )
    return parser.parse_args()


def random_checkpoint(config: str, seed: int, out: Path) -> Path:
    """Write the backbone of a config at random initialisation as a checkpoint."""
    cfg = setup.load_config(config)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    set_random_seed(seed)
    model = MODELS.build(model_config(cfg))
    model.init_weights()
    path = out / f'random_seed{seed}.pth'
    state = {f'backbone.{name}': tensor for name, tensor in model.backbone.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, seed=seed), state_dict=state), path)
    return path


class Frozen:
    """What is measured on frozen features of a linear evaluation's training and validation images.

    Args:
        suite: The list of protocols: ``linear``, ``lrs``, ``knn``.
        checkpoint: The checkpoint.
        seed: Of head and order.
        out: Folder of the pictures.
        options: Overrides of the linear evaluation's config.
    """

    def __init__(self, suite: Config, checkpoint: Path, seed: int, out: Path, options: dict[str, Any]) -> None:
        self.suite, self.seed, self.out = suite, seed, out
        self.name = f'{checkpoint.resolve().parent.name}/{checkpoint.name}'
        self.cfg = setup.load_config(str(Path(suite.filename).parent / suite.linear))
        self.cfg.merge_from_dict(options)
        self.cfg.model.checkpoint = str(checkpoint)
        init_default_scope(self.cfg.get('default_scope', 'mmpretrain'))

    @cached_property
    def model(self) -> Any:
        return build_classifier(self.cfg, self.seed)

    @cached_property
    def loaders(self) -> dict[str, DataLoader]:
        pipeline = self.cfg.val_dataloader.dataset.get('pipeline')
        return dict(bank=plain_loader(self.cfg.train_dataloader, pipeline), query=plain_loader(self.cfg.val_dataloader))

    @cached_property
    def bank(self) -> FeatureSet:
        return extract_features(self.model, self.loaders['bank'], 'features, training')

    @cached_property
    def query(self) -> FeatureSet:
        return extract_features(self.model, self.loaders['query'], 'features, validation')

    @cached_property
    def classes(self) -> list[str]:
        names = self.loaders['query'].dataset.metainfo.get('classes') or ()  # type: ignore[attr-defined]
        count = 1 + max(int(self.bank.label.max()), int(self.query.label.max()))
        return list(names) if len(names) >= count else [str(i) for i in range(count)]

    @cached_property
    def linear_results(self) -> list:
        return linear_probe(self.cfg, self.model.head, self.bank, self.query, self.suite.lrs, self.seed)

    def knn(self) -> dict[str, Any]:
        """Accuracy for every number of neighbours that the bank has."""
        k = [each for each in self.suite.knn.k if each <= len(self.bank.feat)]
        found = knn_classes(
            self.query.feat, self.bank.feat, self.bank.label, len(self.classes), k, self.suite.knn.temperature
        )
        hits = (found == self.query.label).double().mean(1)
        return {f'top1_k{each}': 100 * hit for each, hit in zip(k, hits.tolist())}

    def linear(self) -> dict[str, Any]:
        """Accuracy with the first learning rate, and by rate."""
        dropped = dropped_steps(self.cfg)
        if dropped:
            print(f'linear: training images as in validation, without {", ".join(dropped)}', flush=True)
        first = self.linear_results[0]
        by_rate = {f'{result.lr:g}': result.top1 for result in self.linear_results}
        return dict(top1=first.top1, top5=first.top5, top1_by_rate=by_rate)

    def pictures(self) -> dict[str, Any]:
        """Confusion matrix, nearest neighbours and embedding map."""
        result = self.linear_results[0]
        counts = confusion_matrix(self.query.label.cpu(), result.predictions.cpu(), len(self.classes))
        title = f'{self.name}, linear evaluation: {result.top1:.1f} %'
        draw_confusion_matrix(counts, self.classes, title).savefig(self.out / 'confusion.png')
        self._draw_neighbours(rows=10, columns=10)
        x, labels = self.query.feat.cpu(), self.query.label.cpu()
        shown = torch.arange(0, len(x), max(1, len(x) // 2000))  # t-SNE grows with the square
        figure, numbers = map_embeddings(x[shown], labels[shown], self.classes, f'backbone of {self.name}', True)
        figure.savefig(self.out / 'embeddings.png')
        return {name: numbers[name] for name in ('rank_me', 'uniformity')}

    def _draw_neighbours(self, rows: int, columns: int) -> None:
        # Spread over the validation set, whose order is that of the classes.
        count = len(self.query.feat)
        chosen = [(2 * i + 1) * count // (2 * rows) for i in range(min(rows, count))]
        found = nearest(self.query.feat[chosen], self.bank.feat, [min(columns, len(self.bank.feat))])
        lines = []
        for i, similarity, places in zip(chosen, found[0].tolist(), found[1].tolist()):
            images = torch.stack([self.loaders['bank'].dataset[place]['inputs'] for place in places])
            lines.append(
                Neighbours(
                    to_rgb(self.loaders['query'].dataset[i]['inputs'][None], self.model)[0],
                    self.classes[int(self.query.label[i])],
                    to_rgb(images, self.model),
                    [self.classes[int(self.bank.label[place])] for place in places],
                    similarity,
                )
            )
        title = f'{self.name}: validation images and their nearest training images, with cosines'
        draw_neighbours(lines, title).savefig(self.out / 'neighbours.png')


def fill(command: str, values: dict[str, Any]) -> list[str]:
    """Words of a command, with its placeholders filled in.

    Raises:
        SetupError: It has an unknown placeholder.
    """
    try:
        return [word.format_map(values) for word in shlex.split(command)]
    except KeyError as error:
        known = ', '.join(f'{{{name}}}' for name in values)
        raise SetupError(f'unknown placeholder {{{error.args[0]}}}; known are {known}') from None


def contents(command: str, configs: Path) -> list[str]:
    """What the files that a command names hold: configs with all that they inherit, of other files a digest."""
    found = []
    for word in shlex.split(command):
        file = word.replace('{configs}', str(configs))
        if not os.path.isfile(file):
            continue
        found.append(provenance.file_digest(file))
        if file != word and file.endswith('.py'):
            try:
                found.append(setup.load_config(file).pretty_text)
            except Exception:  # it inherits from a package that is not installed: the command will say so
                print(f'{file} cannot be read here', flush=True)
    return found


def split_options(options: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """``--cfg-options`` of the linear evaluation's config, and of each command the words that hand over its own."""
    own: dict[str, Any] = {}
    commands: dict[str, list[str]] = {}
    for key, value in options.items():
        name, _, rest = key.partition('.')
        if name in names and rest:
            commands.setdefault(name, ['--cfg-options']).append(f'{rest}={option_text(value)}')
        else:
            own[key] = value
    return own, commands


def option_text(value: Any) -> str:
    """A value as ``--cfg-options`` takes it."""
    if isinstance(value, (list, tuple)):
        left, right = '[]' if isinstance(value, list) else '()'
        return f'{left}{",".join(map(option_text, value))}{right}'
    return str(value)


def run_command(words: Sequence[str], output: Path, log: Path) -> dict[str, Any]:
    """Run a protocol's command; the numbers that it wrote.

    Raises:
        SetupError: It failed, or wrote no numbers.
    """
    output.unlink(missing_ok=True)
    with log.open('w', encoding='utf-8') as file:
        done = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT)
    found = read_json(output)
    if done.returncode or not isinstance(found, dict):
        tail = log.read_text(encoding='utf-8', errors='replace').strip().splitlines()[-1:] or ['no output']
        raise SetupError(f'exit code {done.returncode}: {tail[0]} (all of it in {log})')
    return found


def protocols_of(suite: Config, wanted: Sequence[str] | None) -> list[str]:
    """Names of the protocols to run, in the order of the list."""
    commands = [entry.name for entry in suite.get('commands', [])]
    known = [*ON_FEATURES, *commands]
    if len(set(known)) < len(known):
        raise SetupError(f'{suite.filename}: names of protocols must differ, got {known}')
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown:
        raise SetupError(f'unknown protocols {", ".join(unknown)}; {suite.filename} has {", ".join(known)}')
    return [name for name in known if wanted is None or name in wanted]


def cell(measure: str, value: float) -> str:
    """Percent with two digits, fractions with three; COCO's −1 means that there was nothing to measure."""
    if measure.startswith('coco/') and value < 0:
        return '–'
    return f'{value:.2f}' if abs(value) >= 1 else f'{value:.3f}'


def markdown(record: dict[str, Any], pictures: Sequence[Path]) -> str:
    """The table, where it comes from, and the pictures, by their paths from where the text will be."""
    lines = [f'# Evaluation of {record["checkpoint"]}', '', '| protocol | measure | value |', '|---|---|---|']
    for name, metrics in record['evaluation'].items():
        numbers = flatten({k: v for k, v in metrics.items() if k not in ('seed', 'seconds')})
        lines += [f'| {name} | {measure} | {cell(measure, value)} |' for measure, value in numbers.items()]
    lines += ['', f'Seed {record["seed"]}; {record["commit"]}; {record["machine"]}; {record["date"]}.', '']
    if record['options']:
        said = ', '.join(f'{key}={option_text(value)}' for key, value in record['options'].items())
        lines += [f'With {said}, each in the configs of its own protocols only.', '']
    lines += [f'- {name} failed: {reason}' for name, reason in record['failed'].items()]
    lines += [f'![{picture.stem}](<{picture.as_posix()}>)' for picture in pictures]
    return '\n'.join(lines) + '\n'


def measure_all(args: argparse.Namespace, suite: Config, checkpoint: Path) -> Measured:
    """Run the protocols that have not been run before."""
    names = protocols_of(suite, args.protocols)
    commands = {entry.name: entry.command for entry in suite.get('commands', [])}
    own, options = split_options(args.cfg_options, list(commands))
    frozen = Frozen(suite, checkpoint, args.seed, args.out, own)
    configs = Path(suite.filename).resolve().parent
    source = [provenance.file_digest(checkpoint), args.seed]
    done = Measured({}, {}, [])
    for name in names:
        command = commands.get(name)
        job = [command, contents(command, configs), options.get(name)] if command else [frozen.cfg, suite]
        text = json.dumps([*source, *(each.pretty_text if isinstance(each, Config) else each for each in job)])
        asked = hashlib.sha256(text.encode()).hexdigest()
        # A folder of its own for everything that differs: commands go on from what they find there.
        out = args.out / f'{name}-{asked[:10]}'
        note = args.out / f'{name}.done.json'
        before = read_json(note)
        if isinstance(before, dict) and before.get('digest') == asked:
            print(f'{name}: done before', flush=True)
            done.metrics[name] = before['metrics']
        else:
            print(f'{name} ...', flush=True)
            start = time.monotonic()
            try:
                if command:
                    values: dict[str, Any] = dict(
                        python=sys.executable, tools=TOOLS, configs=configs, checkpoint=checkpoint, out=out,
                        json=args.out / f'{name}.json', seed=args.seed,
                    )  # fmt: skip
                    words = fill(command, values) + options.get(name, [])
                    metrics = run_command(words, values['json'], args.out / f'{name}.log')
                else:
                    metrics = getattr(frozen, name)()
            except (SetupError, ValueError) as error:
                if not command:
                    raise
                done.failed[name] = str(error)
                print(f'{name} failed: {error}', flush=True)
                continue
            done.metrics[name] = metrics
            write_json(note, dict(digest=asked, metrics=metrics, seconds=time.monotonic() - start))
        done.pictures.extend(sorted(out.rglob('*.png')))
    return done


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    suite = setup.load_config(args.config)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = Path(args.checkpoint)
    if checkpoint.suffix == '.py':
        checkpoint = random_checkpoint(args.checkpoint, args.seed, args.out)
    elif not checkpoint.is_file():
        raise SetupError(f'checkpoint {args.checkpoint!r} does not exist')
    done = measure_all(args, suite, checkpoint)
    record = dict(
        checkpoint=str(args.checkpoint),
        config=args.config,
        seed=args.seed,
        commit=provenance.commit(),
        machine=provenance.machine(),
        date=provenance.now(),
        options=args.cfg_options,
        evaluation=done.metrics,
        failed=done.failed,
    )
    pictures = [*sorted(args.out.glob('*.png')), *done.pictures]
    text = markdown(record, [picture.relative_to(args.out) for picture in pictures])
    write_text(args.out / 'evaluation.md', text)
    for path in filter(None, (args.out / 'evaluation.json', None if done.failed else args.json)):
        write_json(path, record)
    print(text)
    if done.failed:
        raise SetupError(f'{", ".join(done.failed)} failed; run it again to go on')


if __name__ == '__main__':
    try:
        main()
    except (SetupError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
