"""Map of a checkpoint's embeddings, colored by class: ``embedding_map.py [CONFIG] CKPT --out PNG``.

Draws PCA, with ``--tsne`` also t-SNE, of the embeddings of the validation images, and the spectrum of their covariance.
Works for any OpenMMLab model with a backbone. Writes the numbers beside the figure.
"""

import argparse
import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.collect import collect
from lewel_plugins.models.features import embeddings, pooled_features, preprocessed_images
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.running.model_files import add_model_files, load_model
from lewel_plugins.visualization.embedding_map import map_embeddings
from lewel_plugins.visualization.images import evenly_spaced


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Map of a checkpoint's embeddings, colored by class.")
    add_model_files(parser)
    parser.add_argument('--out', type=Path, default=Path('embeddings.png'), help='figure (default: embeddings.png)')
    parser.add_argument(
        '--layer', choices=('backbone', 'neck'), default='backbone', help='source of the embeddings (default: backbone)'
    )
    parser.add_argument('--tsne', action='store_true', help='draw t-SNE beside PCA; needs scikit-learn')
    parser.add_argument(
        '--max-images', type=int, default=2000, help='maximum number of validation images (default: 2000)'
    )
    args = parser.parse_args()
    if args.max_images < 4:
        parser.error('--max-images must be at least 4')
    if args.tsne and find_spec('sklearn') is None:
        parser.error('--tsne needs scikit-learn: pip install scikit-learn')
    return args


def validation_images(cfg: Config, count: int) -> tuple[DataLoader, list[str]]:
    """Return a loader of at most ``count`` validation images in their order, and the names of the classes."""
    if not cfg.get('val_dataloader'):
        raise SetupError('the config has no val_dataloader, which provides the images to show')
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    subset = Subset(dataset, evenly_spaced(len(dataset), count))
    loader = dict(cfg.val_dataloader, dataset=subset, sampler=dict(type='DefaultSampler', shuffle=False))
    classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
    return Runner.build_dataloader(loader, seed=0), list(classes)


def neck_outputs(model: BaseModel, data_batch: dict) -> Tensor:
    """Return the embeddings of a batch from the model's neck, (N, d)."""
    return embeddings(model.neck(model.backbone(preprocessed_images(model, data_batch)))).float()


def read_embeddings(model: BaseModel, loader: DataLoader, layer: str) -> tuple[Tensor, Tensor]:
    """Return embeddings (N, d) and classes (N,) on the CPU. The class is −1 for images without one."""
    if layer == 'neck' and getattr(model, 'neck', None) is None:
        raise SetupError(f'{type(model).__name__} has no neck: use --layer backbone')
    read = neck_outputs if layer == 'neck' else pooled_features
    images = collect(loader, partial(read, model.to(get_device())), 'embeddings')
    return images.values.cpu(), images.labels


def main() -> None:
    args = parse_args()
    model, cfg = load_model(args.checkpoint, args.config, ['val_dataloader'])
    loader, classes = validation_images(cfg, args.max_images)
    x, labels = read_embeddings(model, loader, args.layer)
    if not x.isfinite().all():
        raise SetupError(f'the embeddings of {args.checkpoint} contain NaN or infinite values')
    title = f'{args.layer} of {Path(args.checkpoint).name}, {len(x)} images'
    figure, numbers = map_embeddings(x, labels, classes, title, args.tsne)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    numbers = dict(checkpoint=args.checkpoint, layer=args.layer, **numbers)
    out = args.out.with_suffix('.json')
    out.write_text(json.dumps(numbers, indent=2) + '\n', encoding='utf-8')
    print(f'{len(x)} embeddings of {x.shape[1]} dimensions: RankMe {numbers["rank_me"]:.1f}, ', end='')
    print(f'uniformity {numbers["uniformity"]:.2f}. Map written to {args.out}, numbers to {out}')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
