"""Alignment and uniformity of a checkpoint: ``python tools/analysis/alignment_uniformity.py CONFIG CHECKPOINT``.

Wang and Isola's measures on two training views of each validation image: of the backbone's pooled features, and of
what the model's neck makes of them (the mean over the projectors, where there are several). MSBReg's Table 12; MPCL's
Table I has 1 − alignment and −uniformity.
"""

import argparse
import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner, set_random_seed
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins import functional as LF
from lewel_plugins.checkpoints import build_model, read_tensors
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import pooled
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Alignment and uniformity of a checkpoint, on training views.')
    parser.add_argument('config', help='config of a pretraining')
    parser.add_argument('checkpoint', help='checkpoint of the whole model')
    parser.add_argument('--images', type=int, default=2000, help='validation images, at most (2000)')
    parser.add_argument('--seed', type=int, default=0, help='of the views (0)')
    parser.add_argument('--out', type=Path, help='json file to write')
    add_config_options(parser)
    args = parser.parse_args()
    if args.images < 2:
        parser.error(f'--images must be at least 2, got {args.images}')
    return args


def view_loader(cfg: Config, images: int) -> DataLoader:
    """At most ``images`` validation images, spread over the whole set, under the training pipeline."""
    if not cfg.get('val_dataloader'):
        raise SetupError('the config has no val_dataloader, whose images would be measured')
    settings = cfg.val_dataloader.dataset.to_dict()
    train = cfg.train_dataloader.dataset.to_dict()
    settings['pipeline'] = train.get('dataset', train)['pipeline']  # PretrainDataset wraps a dataset
    dataset = DATASETS.build(settings)
    # In place: classic mmengine's get_subset copies with a memo that all calls share, and ids are used again.
    dataset.get_subset_(list(range(0, len(dataset), -(-len(dataset) // images))))
    if len(dataset) < 2:
        raise SetupError(f'uniformity is over pairs of images, and there are only {len(dataset)}')
    collate = cfg.train_dataloader.get('collate_fn', dict(type='default_collate'))
    loader = dict(
        dataset=dataset,
        batch_size=cfg.val_dataloader.batch_size,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=collate,
    )
    return Runner.build_dataloader(loader, seed=0)


@torch.no_grad()
def embed(model: BaseModel, loader: DataLoader) -> dict[str, list[Tensor]]:
    """Of two views, the features (N, D) and the embeddings (M, N, d)."""
    found: dict[str, list[list[Tensor]]] = dict(backbone=[[], []], neck=[[], []])
    for data_batch in loader:
        inputs = model.data_preprocessor(data_batch, True)['inputs']
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise SetupError('alignment is between two views, and the training pipeline makes only one')
        for view, x in enumerate(inputs[:2]):
            features = model.backbone(x)
            z = model.neck(features)
            z = z[0] if isinstance(z, (list, tuple)) else z
            found['backbone'][view].append(pooled(features))
            found['neck'][view].append((z if z.ndim == 3 else z[None]).float())
    backbone = [torch.cat(view) for view in found['backbone']]
    return dict(backbone=backbone, neck=[torch.cat(view, 1) for view in found['neck']])


def measure(x: Tensor, y: Tensor) -> dict[str, float]:
    """Alignment of two views, and uniformity of both, averaged."""
    uniformity = (LF.uniformity(x) + LF.uniformity(y)) / 2
    return dict(alignment=float(LF.alignment(x, y)), uniformity=float(uniformity))


def summarize(embedded: dict[str, list[Tensor]]) -> dict[str, dict[str, float]]:
    """Measures of the backbone and of the neck; of several projectors also the mean cosine between them."""
    x, y = embedded['neck']
    tasks = [measure(*pair) for pair in zip(x, y)]
    neck = {name: sum(task[name] for task in tasks) / len(tasks) for name in tasks[0]}
    if len(tasks) > 1:
        neck['projector_cosine'] = float(LF.projector_regularization(x) + LF.projector_regularization(y)) / 2
    return dict(backbone=measure(*embedded['backbone']), neck=neck)


def main() -> None:
    args = parse_args()
    cfg = setup.load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = build_model(cfg, read_tensors(args.checkpoint), args.checkpoint).to(get_device())
    if getattr(model, 'neck', None) is None:
        raise SetupError(f'{type(model).__name__} has no neck, whose embeddings would be measured')
    set_random_seed(args.seed)
    embedded = embed(model, view_loader(cfg, args.images))
    if not all(x.isfinite().all() for views in embedded.values() for x in views):
        raise SetupError(f'the embeddings of {args.checkpoint} hold NaN or infinite entries')
    result = summarize(embedded)
    for name, values in result.items():
        print(f'{name}: ' + ', '.join(f'{key} {value:.4f}' for key, value in values.items()))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    try:
        main()
    except (SetupError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
