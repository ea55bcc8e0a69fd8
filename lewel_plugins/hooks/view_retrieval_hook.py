from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins import dist
from lewel_plugins.models.features import embeddings
from lewel_plugins.registry import HOOKS

_SEED = 0  # the views are the same in all runs


def retrieval_accuracy(first: Tensor, second: Tensor) -> float:
    """Return the share of images whose first view is closer to their own second view than to that of any other image.

    Args:
        first: Embeddings of the first views, (N, d).
        second: Embeddings of the second views, (N, d).

    Returns:
        A number in [0, 1]. Of equal similarities, those of other images count first, so that a collapse gives 0.
    """
    similarity = F.normalize(first.double(), dim=1) @ F.normalize(second.double(), dim=1).T
    own = similarity.diagonal()
    others = similarity.clone().fill_diagonal_(-torch.inf)
    return float((own > others.max(1).values).double().mean())


@HOOKS.register_module()
class ViewRetrievalHook(Hook):
    """Log, in each validation, how often the network finds the other view of an image among those of all images.

    This is the pretext task itself, which needs no labels: top-1 retrieval by cosine, in percent, of the online neck's
    embeddings in eval mode. Chance is 100 / N. The views are those of the training, and the same ones in every
    validation. The training itself stays the same.

    For each name, ``finds_view/NAME`` is logged with the metrics of the validation. The gap between training images and
    others shows how far the network has memorized its images.

    Args:
        dataloaders: One config of a data loader per name, with the training's pipeline and ``SeededSampler``.

    Raises:
        ValueError: There is no data loader, or a pipeline makes one view per image.
    """

    priority = 'NORMAL'  # after RuntimeInfoHook, before the logger

    def __init__(self, dataloaders: Mapping[str, dict]) -> None:
        if not dataloaders:
            raise ValueError('ViewRetrievalHook needs at least one data loader')
        self.configs = dict(dataloaders)
        self._loaders: dict[str, DataLoader] = {}

    def before_train(self, runner: Runner) -> None:
        """Build the data loaders."""
        self._loaders = {
            name: Runner.build_dataloader(config, seed=_SEED, diff_rank_seed=False)
            for name, config in self.configs.items()
        }

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Measure the embeddings, and log the accuracies with the metrics."""
        model = dist.unwrap_model(runner.model)
        for name, loader in self._loaders.items():
            accuracy = 100 * retrieval_accuracy(*_embed_two_views(model, loader))
            runner.message_hub.update_scalar(f'val/finds_view/{name}', accuracy)
            if metrics is not None:
                metrics[f'finds_view/{name}'] = accuracy


@torch.no_grad()
def _embed_two_views(model: BaseModel, loader: DataLoader) -> list[Tensor]:
    """Return the embeddings of the first two views of all images of all ranks, each (N, d)."""
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in loader:
        views = model.data_preprocessor(batch, True)['inputs']
        if len(views) < 2:
            raise ValueError(f'ViewRetrievalHook needs two views per image, but the pipeline makes {len(views)}')
        for part, view in zip(parts, views):
            part.append(embeddings(model.neck(model.backbone(view))).float())
    return [_in_order(torch.cat(part), len(loader.dataset)) for part in parts]  # type: ignore[arg-type]


def _in_order(rows: Tensor, count: int) -> Tensor:
    """Return the rows of all ranks, (count, d), without the images that pad the sampler's last round."""
    ranks = dist.all_gather(rows).view(dist.world_size(), *rows.shape)  # image i is on rank i % W
    return ranks.transpose(0, 1).flatten(0, 1)[:count]
