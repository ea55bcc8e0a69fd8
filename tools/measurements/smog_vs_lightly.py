"""SMoG against lightly's SMoG modules: same backbone, data, batches, views, optimizer, budget and device.

``python tools/measurements/smog_vs_lightly.py CONFIG --out FILE.json``; needs ``pip install lightly==1.6.*``. lightly's
modules are put together as in its documentation's example: groups from uniform random numbers, beta = 0.99, a memory
bank of the last interval's features and scikit-learn's K-means at every reset. Heads' widths, number of groups,
interval and teacher momentum are the config's for both. Time per step is taken apart from training, with both models'
steps alternating on the same batch.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import add_config_options

try:
    import lightly_methods  # noqa: F401  (registers LightlySMoG)
except ImportError as error:
    raise SystemExit(f'error: {error}: pip install "lightly==1.6.*" scikit-learn') from None

METHODS = ('ours', 'lightly')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="SMoG against lightly's SMoG modules, all else equal.")
    parser.add_argument('config', help='recipe of SMoG on two views, with k-NN validation')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='(0 1 2)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/smog_vs_lightly'), help='folder of the runs')
    parser.add_argument('--steps', type=int, default=30, help='steps of each that are timed (30)')
    parser.add_argument('--out', type=Path, help='json file to write')
    add_config_options(parser)
    return parser.parse_args()


def config_of(method: str, args: argparse.Namespace, seed: int) -> Config:
    """The recipe, with lightly's model in the place of ours."""
    cfg = setup.load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    cfg.randomness = dict(seed=seed)
    cfg.work_dir = str(args.work_dir / f'{method}-seed{seed}')
    cfg.experiment_name = f'{method}-seed{seed}'
    if method == 'lightly':
        ours = cfg.model
        cfg.model = dict(
            type='lewel_plugins.LightlySMoG',
            backbone=ours.backbone,
            in_channels=ours.neck.in_channels,
            hid_channels=ours.neck.hid_channels,
            out_channels=ours.neck.out_channels,
            num_groups=ours.num_groups,
            interval=cfg.custom_hooks[0].interval,
            momentum=ours.momentum,
            batch_size=cfg.train_dataloader.batch_size,
        )
        cfg.custom_hooks = []
        # They belong to models with a neck and a teacher of ours.
        for hook in ('monitor', 'momentum_update'):
            cfg.default_hooks.pop(hook)
    return cfg


def train(cfg: Config) -> dict[str, float]:
    """Train, and the last validation's metrics."""
    setup.set_dataloader_defaults(cfg)
    setup.prepare(cfg, 'none')
    runner = setup.build_runner(cfg)
    begin = time.monotonic()
    runner.train()
    scalars = runner.message_hub.log_scalars
    metrics = {name[4:]: values.current() for name, values in scalars.items() if name.startswith('val/knn')}
    return dict(**metrics, seconds=time.monotonic() - begin)


def seconds_per_step(args: argparse.Namespace) -> dict[str, float]:
    """Median seconds (on a CPU of its time) of a step: forward, backward, optimizer; without resets."""
    init_default_scope('mmpretrain')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    clock = time.perf_counter if device == 'cuda' else time.process_time  # other jobs may be using the processor
    steps: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for method in METHODS:
        cfg = config_of(method, args, 0)
        if method == 'lightly':  # no reset meanwhile; its bank is copied in every step, so it must not be too large
            cfg.model.interval = max(cfg.model.interval, args.steps + 4)
        cfg.model.data_preprocessor = cfg.data_preprocessor
        model: BaseModel = MODELS.build(cfg.model).to(device).train()
        if method == 'ours':
            model.cache.start(args.steps + 3)
        wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
        steps[method] = model, build_optim_wrapper(model, Config({**wrapper_cfg, 'type': 'OptimWrapper'})._cfg_dict)
        if not data:
            size = cfg.data_preprocessor.views[0].size
            images = torch.randint(0, 256, (cfg.train_dataloader.batch_size, 3, size, size), dtype=torch.uint8)
            data = model.data_preprocessor(dict(inputs=images, data_samples=[]), True)
    taken: dict[str, list[float]] = {method: [] for method in METHODS}
    for step in range(args.steps + 3):
        for method, (model, wrapper) in steps.items():
            begin = clock()
            wrapper.update_params(model.parse_losses(model.loss(data['inputs']))[0])
            if method == 'ours':
                model.momentum_update(step / (args.steps + 3))
            if device == 'cuda':
                torch.cuda.synchronize()
            taken[method].append(clock() - begin)
    return {method: median(values[3:]) for method, values in taken.items()}


def main() -> None:
    args = parse_args()
    step = seconds_per_step(args)
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for seed in args.seeds:
        for method in METHODS:
            runs[method].append(train(config_of(method, args, seed)))
    names = [name for name in runs['ours'][0] if name != 'seconds']
    print('| SMoG of | ' + ' | '.join(f'{name}, %' for name in names) + ' | step, s | training with resets, s |')
    print('|---' * (len(names) + 3) + '|')
    for method in METHODS:
        cells = []
        for name in (*names, 'seconds'):
            values = [run[name] for run in runs[method]]
            cells.append(f'{mean(values):.2f}' + (f' ± {stdev(values):.2f}' if len(values) > 1 else ''))
        print(f'| {method} | {" | ".join(cells[:-1])} | {step[method]:.4f} | {cells[-1]} |')
    ratio = step['ours'] / step['lightly']
    print(f"time per step, ours over lightly's: {ratio:.3f}")
    if args.out:
        described = provenance.record()
        args.out.parent.mkdir(parents=True, exist_ok=True)
        result = dict(**described, seconds_per_step=step, step_ratio=ratio, runs=runs)
        args.out.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
