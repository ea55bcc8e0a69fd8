"""LEWEL_B at the paper's rate by LARS and by plain SGD: loss and spread of the embeddings in the first steps.

The paper prints "SGD" with batch 512 and lr 1.8, and EMAN, which it follows, has LARS with these numbers. Each run
trains LEWEL_B with a ResNet-10 on garment scenes with the batch, rate, momentum, weight decay and EMAN teacher of
``configs/lewel/lewel-b_resnet50_8xb64-lars-coslr-200e_in1k.py``, from the same weights and the same images. "Warm-up"
raises the rate over the first tenth of the steps, as 10 epochs do in a recipe of 100. The loss is (1 − β)L_g + βL_a,
the sum of two directions of 2 − 2 cos, so that 0 is a perfect prediction. The other rows are of the online global
embeddings z of a batch: the std of the unit embeddings times √d, 1 where they are spread evenly over the sphere and 0
where all are equal; RankMe, at most 64; and the share of images, in percent, whose z in one view is closest to its
own z in the other view among all 512.
"""

import argparse
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from steps.report import Report
from torch import Tensor

from lewel_plugins.functional import rank_me
from lewel_plugins.hooks.representation_monitor_hook import scaled_std

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'lewel'
SMALL = 'lewel-b_resnet10_1xb64-24e_garment-scenes.py'
PRINTED = 'lewel-b_resnet50_8xb64-lars-coslr-200e_in1k.py'
SHOWN = (1, 2, 3, 5, 10, 20, 30, 40, 50, 60)
KINDS = dict(loss=3, std=3, rank=1, retrieval=1)  # digits
RUNS = {
    'LARS, warm-up': ('lewel_plugins.LARS', True),
    'LARS': ('lewel_plugins.LARS', False),
    'SGD, warm-up': ('SGD', True),
    'SGD': ('SGD', False),
}


def load_config(optimizer: str) -> Config:
    """Return the small recipe with the batch and the optimizer of the printed one, or plain SGD in its place."""
    cfg, printed = (Config.fromfile(str(CONFIGS / name)) for name in (SMALL, PRINTED))
    cfg.model.update(momentum=printed.model.momentum, teacher_norm=printed.model.teacher_norm)
    cfg.train_dataloader.update(
        batch_size=printed.auto_scale_lr.base_batch_size, num_workers=0, persistent_workers=False
    )
    cfg.optim_wrapper.update(
        optimizer=printed.optim_wrapper.optimizer, paramwise_cfg=printed.optim_wrapper.paramwise_cfg
    )
    if optimizer == 'SGD':
        cfg.optim_wrapper.optimizer.type = 'SGD'
        cfg.optim_wrapper.paramwise_cfg.pop('adapt_norm_and_bias')
    return cfg


def train(cfg: Config, steps: int, warm_up: int, seed: int) -> dict[str, list[float]]:
    """Train and return the loss and the measures of the online embeddings in every step."""
    torch.manual_seed(seed)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    model.init_weights()
    model.before_training()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = [group['lr'] for group in wrapper.optimizer.param_groups]
    embeddings: list[Tensor] = []
    model.neck.register_forward_hook(lambda neck, inputs, output: embeddings.append(output[0].detach()))
    history: dict[str, list[float]] = {kind: [] for kind in KINDS}
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=seed))
    for step in range(steps):
        for group, rate in zip(wrapper.optimizer.param_groups, rates):
            group['lr'] = rate * min((step + 1) / warm_up, 1)
        try:
            batch = next(batches)
        except StopIteration:
            batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=seed + step))
            batch = next(batches)
        torch.manual_seed(1000 * seed + step)  # the same views for every optimizer
        history['loss'].append(model.train_step(batch, wrapper)['loss'].item())
        model.after_optimizer_step((step + 1) / steps)
        for kind, value in measures(*embeddings).items():
            history[kind].append(value)
        embeddings.clear()
    return history


def measures(z1: Tensor, z2: Tensor) -> dict[str, float]:
    """Return std, RankMe and retrieval, in percent, of the embeddings (N, d) of both views."""
    closest = (F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T).argmax(1)
    retrieval = (closest == torch.arange(len(z1))).float().mean()
    std = (scaled_std(z1) + scaled_std(z2)) / 2
    return dict(std=std.item(), rank=rank_me(z1).item(), retrieval=100 * retrieval.item())


def train_run(name: str, seed: int, steps: int, data: str) -> dict[str, list[float]]:
    """Do one of ``RUNS`` in a process of its own; see :func:`train`."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # mmengine logs every parameter that it initializes
    init_default_scope('mmpretrain')
    optimizer, warms_up = RUNS[name]
    cfg = load_config(optimizer)
    cfg.train_dataloader.dataset.dataset.data_root = data
    return train(cfg, steps, max(steps // 10, 1) if warms_up else 1, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--steps', type=int, default=60, help='optimizer steps of a run (default: 60)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='seeds (default: 0 1)')
    parser.add_argument('--jobs', type=int, default=2, help='runs at a time (default: 2)')
    parser.add_argument('--data', default='data/garment_scenes', help='folder of garment scenes')
    parser.add_argument('--out', type=Path, help='json file to write, with a markdown table beside it')
    args = parser.parse_args()
    shown = [step for step in SHOWN if step < args.steps] + [args.steps]
    report = Report(
        "LEWEL_B at the paper's rate, by LARS and by SGD",
        *('optimizer', 'seed', 'of', *(f'step {step}' for step in shown)),
    )
    runs = [(name, seed) for name in RUNS for seed in args.seeds]
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context('spawn')) as pool:
        histories = pool.map(partial(train_run, steps=args.steps, data=args.data), *zip(*runs))
        for (name, seed), history in zip(runs, histories):
            row: dict[str, Any] = dict(optimizer=name, seed=seed, **history)
            for kind, digits in KINDS.items():
                cells = (f'{history[kind][step - 1]:.{digits}f}' for step in shown)
                report.add(row if kind == 'loss' else {}, name, seed, kind, *cells)
    report.rows = [row for row in report.rows if row]
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], steps=args.steps)


if __name__ == '__main__':
    main()
