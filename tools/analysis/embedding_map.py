"""Map of a checkpoint's embeddings, coloured by class: ``embedding_map.py [CONFIG] CKPT --out PNG``.

PCA, with ``--tsne`` also t-SNE, of the validation images' embeddings, and the spectrum of their covariance. Works for
any OpenMMLab model with a backbone. Writes the numbers beside the picture.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from lewel_plugins.checkpoints import build_model, config_of, read_tensors
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.feature_loop import labels_and_indices
from lewel_plugins.models.features import embeddings, pooled_features, preprocessed_images
from lewel_plugins.running import setup
from lewel_plugins.visualization.embedding_map import map_embeddings


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Map of a checkpoint's embeddings, coloured by class.")
    parser.add_argument('files', nargs='+', metavar='[CONFIG] CKPT', help="checkpoint; config if not the checkpoint's")
    parser.add_argument('--out', type=Path, default=Path('embeddings.png'), help='picture (default: embeddings.png)')
    parser.add_argument('--layer', choices=('backbone', 'neck'), default='backbone', help='whose output (backbone)')
    parser.add_argument('--tsne', action='store_true', help='t-SNE beside PCA; needs scikit-learn')
    parser.add_argument('--max-images', type=int, default=2000, help='spread evenly over the validation set (2000)')
    args = parser.parse_args()
    if len(args.files) > 2:
        parser.error(f'give [CONFIG] CKPT, got {len(args.files)} files')
    if args.max_images < 4:
        parser.error('--max-images must be at least 4')
    if args.tsne and find_spec('sklearn') is None:
        parser.error('--tsne needs scikit-learn: pip install scikit-learn')
    return args


def validation_images(cfg: Config, count: int) -> tuple[DataLoader, list[str]]:
    """Loader of at most ``count`` validation images in their order, and the names of the classes."""
    if not cfg.get('val_dataloader'):
        raise SetupError('the config has no val_dataloader, whose images would be shown')
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    number = len(dataset)
    indices = [i * number // min(count, number) for i in range(min(count, number))]
    loader = dict(
        cfg.val_dataloader, dataset=Subset(dataset, indices), sampler=dict(type='DefaultSampler', shuffle=False)
    )
    classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
    return Runner.build_dataloader(loader, seed=0), list(classes)


def neck_outputs(model: BaseModel, data_batch: dict) -> Tensor:
    """Embeddings of a batch from the model's neck, (N, d)."""
    return embeddings(model.neck(model.backbone(preprocessed_images(model, data_batch)))).float()


@torch.no_grad()
def read_embeddings(model: BaseModel, loader: DataLoader, layer: str) -> tuple[Tensor, Tensor]:
    """Embeddings (N, d) and classes (N,), on the CPU; the class is −1 where an image has none."""
    if layer == 'neck' and getattr(model, 'neck', None) is None:
        raise SetupError(f'{type(model).__name__} has no neck: use --layer backbone')
    model = model.to(get_device())
    read = neck_outputs if layer == 'neck' else pooled_features
    found, labels = [], []
    for data_batch in track(loader, 'embeddings'):
        found.append(read(model, data_batch).cpu())
        labels += labels_and_indices(data_batch['data_samples'])[0]
    return torch.cat(found), torch.tensor(labels)


def main() -> None:
    args = parse_args()
    path = args.files[-1]
    checkpoint = read_tensors(path)
    given = len(args.files) == 2
    cfg = setup.load_config(args.files[0]) if given else config_of(checkpoint, path, 'val_dataloader')
    model = build_model(cfg, checkpoint, path)
    loader, classes = validation_images(cfg, args.max_images)
    x, labels = read_embeddings(model, loader, args.layer)
    if not x.isfinite().all():
        raise SetupError(f'the embeddings of {path} hold NaN or infinite entries')
    title = f'{args.layer} of {Path(path).name}, {len(x)} images'
    figure, numbers = map_embeddings(x, labels, classes, title, args.tsne)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    numbers = dict(checkpoint=str(path), layer=args.layer, **numbers)
    out = args.out.with_suffix('.json')
    out.write_text(json.dumps(numbers, indent=2) + '\n', encoding='utf-8')
    print(f'{len(x)} embeddings of {x.shape[1]} dimensions: RankMe {numbers["rank_me"]:.1f}, ', end='')
    print(f'uniformity {numbers["uniformity"]:.2f}. Map written to {args.out}, numbers to {out}')


if __name__ == '__main__':
    try:
        main()
    except (SetupError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
