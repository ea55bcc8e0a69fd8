"""Compare SMoG with lightly's SMoG modules: same backbone, data, batches, views, optimizer, budget and device.

``python tools/measurements/smog_vs_lightly.py CONFIG --out FILE.json``; needs ``pip install lightly==1.6.*``. lightly's
modules are combined as in the example of its documentation: groups from uniform random numbers, beta = 0.99, a memory
bank of the last interval's features and scikit-learn's K-means at every reset. The config sets the heads' widths, the
number of groups, the interval and the teacher momentum of both. The time per step is measured apart from training, with
both models' steps alternating on the same batch.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from steps.clock import alternate
from steps.libraries import LIGHTLY, register_methods
from torch import Tensor

from lewel_plugins.files import write_json
from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import add_config_options

if not register_methods([LIGHTLY]):
    raise SystemExit('error: lightly is not installed: pip install "lightly==1.6.*" scikit-learn')

METHODS = ('ours', 'lightly')
WARM_UP = 3
Runs = dict[str, list[dict[str, float]]]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare SMoG with lightly's SMoG modules, all else equal.")
    parser.add_argument('config', help='recipe of SMoG on two views, with k-NN validation')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='seeds of the runs (default: 0 1 2)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/smog_vs_lightly'), help='folder of the runs')
    parser.add_argument('--steps', type=int, default=30, help='number of timed steps of each (default: 30)')
    parser.add_argument('--out', type=Path, help='json file to write')
    add_config_options(parser)
    return parser.parse_args()


def config_of(method: str, args: argparse.Namespace, seed: int) -> Config:
    """Return the recipe, for lightly with its model in the place of ours."""
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
            num_groups=ours.head.num_groups,
            interval=cfg.custom_hooks[0].interval,
            momentum=ours.momentum,
            batch_size=cfg.train_dataloader.batch_size,
        )
        cfg.custom_hooks = []
        # These hooks need a neck and a teacher of ours.
        for hook in ('monitor', 'momentum_update'):
            cfg.default_hooks.pop(hook)
    return cfg


def train(cfg: Config) -> dict[str, float]:
    """Train, and return the metrics of the last validation and the seconds."""
    setup.set_dataloader_defaults(cfg)
    setup.prepare(cfg, 'none')
    runner = setup.build_runner(cfg)
    begin = time.monotonic()
    runner.train()
    scalars = runner.message_hub.log_scalars
    metrics = {name[4:]: values.current() for name, values in scalars.items() if name.startswith('val/knn')}
    return dict(**metrics, seconds=time.monotonic() - begin)


def random_batch(cfg: Config, model: Any) -> list[Tensor]:
    """Return the views of a batch of random images in the recipe's shapes."""
    size = cfg.data_preprocessor.views[0].size
    images = torch.randint(0, 256, (cfg.train_dataloader.batch_size, 3, size, size), dtype=torch.uint8)
    return model.data_preprocessor(dict(inputs=images, data_samples=[]), True)['inputs']


def step_of(method: str, cfg: Config, model: Any, views: list[Tensor], count: int) -> Callable[[], None]:
    """Return a function that does one of ``count`` steps: forward, backward, optimizer, teacher; without resets."""
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, Config({**wrapper_cfg, 'type': 'OptimWrapper'})._cfg_dict)
    progress = iter(step / count for step in range(count))

    def run() -> None:
        wrapper.update_params(model.parse_losses(model.loss(views))[0])
        if method == 'ours':
            model.after_optimizer_step(next(progress))

    return run


def seconds_per_step(args: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of a step of both, on a CPU its processor time."""
    init_default_scope('mmpretrain')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    count = args.steps + WARM_UP
    steps: dict[str, Callable[[], None]] = {}
    views: list[Tensor] = []
    for method in METHODS:
        cfg = config_of(method, args, 0)
        if method == 'lightly':
            # Resets at intervals that the steps do not reach; every step copies the bank, so it must not be too large.
            cfg.model.interval = max(cfg.model.interval, count + 1)
        cfg.model.data_preprocessor = cfg.data_preprocessor
        model = MODELS.build(cfg.model).to(device).train()
        if method == 'ours':
            model.cache.start(count)
        views = views or random_batch(cfg, model)
        steps[method] = step_of(method, cfg, model, views, count)
    times = alternate(steps, device, args.steps, warm_up=WARM_UP)
    return {method: median(values) for method, values in times.items()}


def print_table(runs: Runs, step: dict[str, float]) -> None:
    """Print mean and standard deviation of each metric over the seeds, and the times."""
    names = [name for name in runs['ours'][0] if name != 'seconds']
    print('| SMoG of | ' + ' | '.join(f'{name}, %' for name in names) + ' | step, s | training with resets, s |')
    print('|---' * (len(names) + 3) + '|')
    for method in METHODS:
        cells = []
        for name in (*names, 'seconds'):
            values = [run[name] for run in runs[method]]
            cells.append(f'{mean(values):.2f}' + (f' ± {stdev(values):.2f}' if len(values) > 1 else ''))
        print(f'| {method} | {" | ".join(cells[:-1])} | {step[method]:.4f} | {cells[-1]} |')


def main() -> None:
    args = parse_args()
    step = seconds_per_step(args)
    runs: Runs = {method: [] for method in METHODS}
    for seed in args.seeds:
        for method in METHODS:
            runs[method].append(train(config_of(method, args, seed)))
    print_table(runs, step)
    ratio = step['ours'] / step['lightly']
    print(f'time per step, ours over that of lightly: {ratio:.3f}')
    if args.out:
        write_json(args.out, dict(**provenance.record(), seconds_per_step=step, step_ratio=ratio, runs=runs))


if __name__ == '__main__':
    main()
