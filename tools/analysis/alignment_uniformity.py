"""Alignment and uniformity of a checkpoint: ``python tools/analysis/alignment_uniformity.py CONFIG CHECKPOINT``.

Computes the measures of Wang and Isola on two training views of each validation image, for the pooled features of the
backbone and for the embeddings of the neck (averaged over projectors if there are several). Table 12 of MSBReg contains
them. Table I of MPCL contains 1 − alignment and −uniformity.
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
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import pooled
from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.model_files import load_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Alignment and uniformity of a checkpoint, on training views.')
    parser.add_argument('config', help='config of a pretraining')
    parser.add_argument('checkpoint', help='checkpoint of the whole model')
    parser.add_argument('--images', type=int, default=2000, help='maximum number of validation images (default: 2000)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the views (default: 0)')
    parser.add_argument('--out', type=Path, help='json file to write')
    add_config_options(parser)
    args = parser.parse_args()
    if args.images < 2:
        parser.error(f'--images must be at least 2, got {args.images}')
    return args


def view_loader(cfg: Config, images: int) -> DataLoader:
    """Return a loader of at most ``images`` validation images, spread over the set, with the training pipeline."""
    if not cfg.get('val_dataloader'):
        raise SetupError('the config has no val_dataloader, which provides the images')
    settings = cfg.val_dataloader.dataset.to_dict()
    train = cfg.train_dataloader.dataset.to_dict()
    settings['pipeline'] = train.get('dataset', train)['pipeline']  # PretrainDataset wraps a dataset
    dataset = DATASETS.build(settings)
    # get_subset of classic mmengine copies with a memo that all calls share although ids recur, so select in place.
    dataset.get_subset_(list(range(0, len(dataset), -(-len(dataset) // images))))
    if len(dataset) < 2:
        raise SetupError(f'uniformity needs at least 2 images, got {len(dataset)}')
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
    """Return the features (N, D) and the embeddings (M, N, d) of two views."""
    rows: dict[str, list[list[Tensor]]] = dict(backbone=[[], []], neck=[[], []])
    for data_batch in loader:
        inputs = model.data_preprocessor(data_batch, True)['inputs']
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise SetupError('alignment needs two views, but the training pipeline makes only one')
        for view, x in enumerate(inputs[:2]):
            features = model.backbone(x)
            z = model.neck(features)
            z = z[0] if isinstance(z, (list, tuple)) else z
            rows['backbone'][view].append(pooled(features))
            rows['neck'][view].append((z if z.ndim == 3 else z[None]).float())
    backbone = [torch.cat(view) for view in rows['backbone']]
    return dict(backbone=backbone, neck=[torch.cat(view, 1) for view in rows['neck']])


def measure(x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the alignment of two views, and their mean uniformity."""
    uniformity = (LF.uniformity(x) + LF.uniformity(y)) / 2
    return dict(alignment=float(LF.alignment(x, y)), uniformity=float(uniformity))


def summarize(embedded: dict[str, list[Tensor]]) -> dict[str, dict[str, float]]:
    """Measure the backbone and the neck. With several projectors, add the mean cosine between them."""
    x, y = embedded['neck']
    tasks = [measure(*pair) for pair in zip(x, y)]
    neck = {name: sum(task[name] for task in tasks) / len(tasks) for name in tasks[0]}
    if len(tasks) > 1:
        cosines = [LF.projector_regularization(view, 'cosine') for view in (x, y)]
        neck['projector_cosine'] = float(sum(cosines)) / 2
    return dict(backbone=measure(*embedded['backbone']), neck=neck)


def main() -> None:
    args = parse_args()
    model, cfg = load_model(args.checkpoint, args.config, options=args.cfg_options)
    model.to(get_device())
    if getattr(model, 'neck', None) is None:
        raise SetupError(f'{type(model).__name__} has no neck, which provides the embeddings')
    set_random_seed(args.seed)
    embedded = embed(model, view_loader(cfg, args.images))
    if not all(x.isfinite().all() for views in embedded.values() for x in views):
        raise SetupError(f'the embeddings of {args.checkpoint} contain NaN or infinite values')
    result = summarize(embedded)
    for name, values in result.items():
        print(f'{name}: ' + ', '.join(f'{key} {value:.4f}' for key, value in values.items()))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
