"""Train every row of the papers' tables for two steps on random images: does each of them run?

``python tools/measurements/reproduction.py`` writes ``docs/results/reproduction.md``; minutes on one core. Rows,
configs and options are those that ``tools/compare.py configs/METHOD/paper.yml --table N`` trains. Trainings that
several tables share run once.

Smaller than in the recipes are the widths of the network (an eighth, ResNet-18 a quarter; ViT and Swin have fewer
layers), queues, the number of groups and the interval of their resets, and the batch (4 per step). As in the recipes
are the size of the images (JPEGs of 500 x 375, or the files of STL-10), the views with their sizes and augmentations,
the algorithm, neck, head and their switches, optimizer, schedule and hooks. It runs in float32 in one process, so
that neither SyncBN nor the exchange between ranks is part of it.
"""

import argparse
import copy
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from lewel_plugins.comparison.paper import Paper, PaperTable, load_paper
from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import Comparison
from lewel_plugins.files import write_text
from lewel_plugins.running import provenance, setup

ROOT = Path(__file__).resolve().parents[2]
STEPS, BATCH = 2, 4
_WIDTHS = ('in_channels', 'hid_channels', 'out_channels', 'aligned_channels')


@dataclass
class Training:
    """A training of one or more rows of tables."""

    config: Config
    rows: list[tuple[str, str]] = field(default_factory=list)  # method and row
    numbers: int = 0
    losses: list[float] = field(default_factory=list)
    error: str = ''
    seconds: float = 0.0


def trainings(papers: list[Paper], methods: list[str] | None = None) -> list[Training]:
    """Return the different trainings of all tables."""
    by_config: dict[str, Training] = {}
    for paper in papers:
        for table in paper.tables if not methods or paper.method.lower() in methods else ():
            for name, config, numbers in _rows(paper, table):
                key = f'{Path(config.filename).stem} {config.to_dict()}'
                training = by_config.setdefault(key, Training(config))
                training.rows.append((paper.method, f'{table.heading}, {name}'))
                training.numbers += numbers
    return list(by_config.values())


def _rows(paper: Paper, table: PaperTable) -> Iterator[tuple[str, Config, int]]:
    """Yield name, config and number of figures of each row that runs here; a repeated table has those of the other."""
    rows = [row for row in paper.find_table(table.table).rows if not row.missing]
    resolved = tuple(paper.resolve(row) for row in rows)
    configs = resolved_configs(Comparison('', '', '', resolved, (0,), (), '', ()))
    for row in rows:
        yield row.name, configs[row.name], sum(map(len, row.figures.values()))


def shrink(cfg: Config) -> None:
    """Shrink the network, queues, groups and the batch; see the module's docstring."""
    model, backbone, neck = cfg.model, cfg.model.backbone, cfg.model.neck
    width = {'ResNet': _shrink_resnet, 'SwinTransformer': _shrink_swin, 'MoCoV3ViT': _shrink_vit}[backbone.type](
        backbone
    )
    is_one_group = neck.get('num_groups') == neck.get('out_channels')  # a baseline of LEWEL
    for part in (neck, model.get('head', {}), model.get('head', {}).get('predictor') or {}):
        for name in _WIDTHS:
            if part.get(name) is not None:
                part[name] = _eighth(part[name])
    neck.in_channels = width
    if is_one_group and 'num_groups' in neck:
        neck.num_groups = neck.out_channels
    if 'queue_len' in model:
        model.queue_len = 16 * BATCH
    if 'num_groups' in model.get('head', {}):
        model.head.num_groups = min(BATCH, math.ceil(math.log10(model.head.num_groups)))
    for hook in cfg.get('custom_hooks', ()):
        if 'interval' in hook or hook.type.endswith('SMoGResetHook'):
            hook.interval = 1
    model.pop('init_cfg', None)


def _eighth(width: Any) -> Any:
    return [_eighth(entry) for entry in width] if isinstance(width, (list, tuple)) else max(1, width // 8)


def _shrink_resnet(backbone: Any) -> int:
    # Convolutions of 3 x 3 and 8 channels in channels_last crash in torch 2.11 on a CPU.
    base = backbone.get('base_channels', 64) // (8 if backbone.depth >= 50 else 4)
    backbone.update(base_channels=base, stem_channels=base)
    return 8 * base * (4 if backbone.depth >= 50 else 1)


def _shrink_swin(backbone: Any) -> int:
    backbone.arch = dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2])
    return 192


def _shrink_vit(backbone: Any) -> int:
    backbone.arch = dict(embed_dims=96, num_layers=2, num_heads=3, feedforward_channels=192)
    return 96


def make_images(folder: Path) -> None:
    """Write random images: JPEGs of the usual size in ImageNet, and the files of STL-10."""
    rng = np.random.default_rng(0)
    for index in range(STEPS * BATCH):
        pixels = cv2.resize(
            rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (500, 375), interpolation=cv2.INTER_CUBIC
        )
        (folder / 'images').mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / 'images' / f'{index}.jpg'), pixels)
    stl10 = folder / 'stl10'
    stl10.mkdir(parents=True)
    for split in ('train', 'test', 'unlabeled'):
        rng.integers(0, 256, (STEPS * BATCH, 3, 96, 96), dtype=np.uint8).tofile(stl10 / f'{split}_X.bin')
        (np.arange(STEPS * BATCH, dtype=np.uint8) % 10 + 1).tofile(stl10 / f'{split}_y.bin')


def on_random_images(cfg: Config, folder: Path, work_dir: Path) -> None:
    """Let a config train one epoch of two steps on the images in a folder."""
    dataset = cfg.train_dataloader.dataset.dataset
    if dataset.type.endswith('STL10'):
        dataset.data_root = str(folder / 'stl10')
    else:
        tree = dict(type='lewel_plugins.ImageTree', data_root=str(folder / 'images'), pipeline=dataset.pipeline)
        cfg.train_dataloader.dataset.dataset = tree
    cfg.train_dataloader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg.pop(f'{name}_{part}', None)
    cfg.default_hooks.checkpoint = None
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = work_dir.name
    cfg.log_level = 'ERROR'


class Losses(Hook):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        self.losses.append((outputs or {})['loss'].item())


def train(config: Config, folder: Path, work_dir: Path) -> list[float]:
    """Train two steps; return the losses.

    Raises:
        RuntimeError: A loss is not finite, a step is missing, or a parameter with a gradient has not moved.
    """
    cfg = copy.deepcopy(config)
    shrink(cfg)
    on_random_images(cfg, folder, work_dir)
    setup.prepare(cfg, 'none')
    runner = setup.build_runner(cfg)
    hook = Losses()
    runner.register_hook(hook)
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters() if p.requires_grad}
    runner.train()
    if len(hook.losses) != STEPS or not all(map(math.isfinite, hook.losses)):
        raise RuntimeError(f'losses {hook.losses}')
    weights = {name for name in before if before[name].dim() > 1}
    still = {name for name, p in runner.model.named_parameters() if name in weights and torch.equal(p, before[name])}
    if still == weights:
        raise RuntimeError('no weight has moved')
    return hook.losses


def run(training: Training, folder: Path, work_dir: Path) -> None:
    """Train, and record the losses or the error."""
    start = time.process_time()
    try:
        training.losses = train(training.config, folder, work_dir)
    except Exception as error:
        training.error = f'{type(error).__name__}: {error}'.split('\n')[0]
        traceback.print_exc()
    training.seconds = time.process_time() - start


def report(papers: list[Paper], done: list[Training], command: str) -> str:
    """Return the page with the counts."""
    lines = ['# Do all rows of the papers run?', '', (__doc__ or '').partition('\n\n')[2].strip(), '']
    lines += [
        '| paper | rows that run | their numbers | trainings | rows that fail | rows not here |',
        '|---|---|---|---|---|---|',
    ]
    for paper in papers:
        mine = [(training, row) for training in done for method, row in training.rows if method == paper.method]
        fine = {row for training, row in mine if not training.error}
        bad = {row for training, row in mine if training.error}
        own = [training for training in done if any(method == paper.method for method, _ in training.rows)]
        absent = sum(row.copies for table in paper.tables for row in table.rows if row.missing)
        numbers = sum(training.numbers for training in own if not training.error)
        lines.append(f'| {paper.method} | {len(fine)} | {numbers} | {len(own)} | {len(bad)} | {absent} |')
    failures = [training for training in done if training.error]
    lines += ['', f'{len(done) - len(failures)} of {len(done)} different trainings run.', '']
    lines += ['## Rows that fail', ''] if failures else []
    lines += [f'- {training.rows[0][1]} ({training.rows[0][0]}): {training.error}' for training in failures]
    lines += [''] if failures else []
    lines += ['## Rows that are not here', '', *rows_not_here(papers)]
    lines += ['', '## How it was run', '', '```', command, '```', '']
    lines += [f'- Date: {provenance.now()}', f'- Commit: {provenance.commit()}', f'- Machine: {provenance.machine()}']
    lines += [f'- Processor time: {sum(training.seconds for training in done):.0f} s']
    return '\n'.join(lines) + '\n'


def rows_not_here(papers: list[Paper]) -> list[str]:
    """Return a line for each row that nothing here repeats."""
    return [
        f'- {paper.method}, {table.heading}, {row.name}: {row.missing}.'
        for paper in papers
        for table in paper.tables
        for row in table.rows
        if row.missing
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='+', help='only these papers: lewel, smog, mpcl, msbreg')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'results' / 'reproduction.md', help='the page')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    papers = [load_paper(path) for path in sorted((ROOT / 'configs').glob('*/paper.yml'))]
    papers = [paper for paper in papers if not args.methods or paper.path.parent.name in args.methods]
    todo = trainings(papers)
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder))
        for index, training in enumerate(todo):
            MMLogger.get_instance('mmengine', log_level='ERROR')
            run(training, Path(folder), Path(folder) / 'runs' / str(index))
            method, row = training.rows[0]
            result = training.error or ', '.join(f'{loss:.3f}' for loss in training.losses)
            print(f'{index + 1}/{len(todo)} {method}, {row}: {result} ({training.seconds:.1f} s)', flush=True)
    write_text(
        args.out,
        report(papers, todo, 'python ' + ' '.join(['tools/measurements/reproduction.py', *(argv or sys.argv[1:])])),
    )
    return int(any(training.error for training in todo))


if __name__ == '__main__':
    sys.exit(main())
