from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins import dist
from lewel_plugins.datasets.pretrain_dataset import PretrainDataset, SampleId, broken_files
from lewel_plugins.evaluation.feature_loop import note_unreadable
from lewel_plugins.functional import lidar
from lewel_plugins.models.features import embeddings
from lewel_plugins.registry import HOOKS
from lewel_plugins.running.watched_loader import watched
from lewel_plugins.seeding import derive_seed

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

    For each name, ``finds_view/NAME`` is logged with the metrics of the validation. Broken images are left out. The gap
    between training images and others shows how far the network has memorized its images.

    With ``lidar_views``, ``lidar/NAME`` is logged as well: :func:`lewel_plugins.functional.lidar` of that many views of
    the first ``lidar_images`` images, by several seeds of the same pipeline. The embeddings are unit vectors times √d,
    whose variance is 1 in each direction if they are spread evenly. A validation then loads and embeds ``lidar_views``
    · ``lidar_images`` more views per name; a training step stays as it is. On a CPU, ten views of an image cost about
    as much as two images in a step (``docs/results/step_monitors.md``).

    Args:
        dataloaders: One config of a data loader per name, with the training's pipeline and ``SeededSampler``.
        lidar_views: Views per image for LiDAR, an even number; 0 for no LiDAR.
        lidar_images: Images for LiDAR, at most; LiDAR cannot exceed their number less 1.

    Raises:
        ValueError: There is no data loader, a pipeline makes one view per image, an argument is out of range, or for
            LiDAR a data set is no ``PretrainDataset``.
    """

    priority = 'NORMAL'  # after RuntimeInfoHook, before the logger

    def __init__(self, dataloaders: Mapping[str, dict], lidar_views: int = 0, lidar_images: int = 200) -> None:
        if not dataloaders:
            raise ValueError('ViewRetrievalHook needs at least one data loader')
        if lidar_views < 0 or lidar_views % 2:
            raise ValueError(f'lidar_views must be an even number, or 0 for no LiDAR, got {lidar_views}')
        if lidar_images < 2:
            raise ValueError(f'lidar_images must be at least 2, got {lidar_images}')
        self.configs = dict(dataloaders)
        self.lidar_views, self.lidar_images = lidar_views, lidar_images
        self._loaders: dict[str, DataLoader] = {}

    def before_train(self, runner: Runner) -> None:
        """Build the data loaders."""
        self._loaders = {
            name: runner.build_dataloader(config, seed=_SEED, diff_rank_seed=False)
            for name, config in self.configs.items()
        }
        for name, loader in self._loaders.items():
            if self.lidar_views and not isinstance(loader.dataset, PretrainDataset):
                raise ValueError(
                    f'lidar_views needs views by seed, from a lewel_plugins.PretrainDataset, but that of {name!r} is a '
                    f'{type(loader.dataset).__name__}'
                )

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Measure the embeddings, and log the accuracies with the metrics."""
        model = dist.unwrap_model(runner.model)
        for name, loader in self._loaders.items():
            values = self._measure(runner, model, loader)
            for measure, value in values.items():
                runner.message_hub.update_scalar(f'val/{measure}/{name}', value)
                if metrics is not None:
                    metrics[f'{measure}/{name}'] = value

    def _measure(self, runner: Runner, model: BaseModel, loader: DataLoader) -> dict[str, float]:
        rows, is_whole, files = _embed_two_views(model, loader, len(loader.dataset))  # type: ignore[arg-type]
        note_unreadable(runner, files)
        if int(is_whole.sum()) < 2:  # there is no other image to compare with
            return {}
        values = dict(finds_view=100 * retrieval_accuracy(*rows[:, is_whole]))
        if self.lidar_views:
            z = _embed_many_views(model, loader, self.lidar_images, self.lidar_views)
            if len(z) > 1 and bool(z.isfinite().all()):  # else there are no eigenvalues
                values['lidar'] = float(lidar(F.normalize(z, dim=2) * z.shape[2] ** 0.5))
        return values


@torch.no_grad()
def _embed_two_views(model: BaseModel, loader: DataLoader, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Embed the first two views of all images of all ranks.

    Args:
        model: The model.
        loader: The loader of this rank.
        count: Number of images on all ranks, without those that pad the last round.

    Returns:
        The embeddings, (2, N, d), which of the N files are whole, (N,) bool, and the broken files of this rank.
    """
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    broken: list[list[str]] = []
    device = next(model.parameters()).device
    # A data preprocessor that makes views draws them from the generators of the training.
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        torch.manual_seed(derive_seed(_SEED, dist.rank()))
        for batch in loader:
            broken += broken_files(batch['data_samples'])
            views = model.data_preprocessor(batch, True)['inputs']
            if len(views) < 2:
                raise ValueError(f'ViewRetrievalHook needs two views per image, but the pipeline makes {len(views)}')
            for part, view in zip(parts, views):
                part.append(embeddings(model.neck(model.backbone(view))).float())
    rows = [_in_order(torch.cat(part), count) for part in parts]
    is_whole = _in_order(rows[0].new_tensor([not files for files in broken]), count) > 0
    return torch.stack(rows), is_whole, [file for files in broken for file in files]


def _embed_many_views(model: BaseModel, loader: DataLoader, images: int, views: int) -> Tensor:
    """Embed views of the first images of a data set, two per seed; (n, q, d) without broken images."""
    n, W, passes = min(images, len(loader.dataset)), dist.world_size(), views // 2  # type: ignore[arg-type]
    rounds = -(-n // W)
    items = [
        SampleId(i % n, derive_seed(_SEED, one_pass, i % n)) for one_pass in range(passes) for i in range(rounds * W)
    ]
    few = DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=items[dist.rank() :: W],
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,  # else a file on a dead network disk makes the validation wait for ever
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
    )
    rows, is_whole, _ = _embed_two_views(model, watched(few), len(items))
    z = rows.unflatten(1, (passes, rounds * W))[:, :, :n].permute(2, 0, 1, 3).flatten(1, 2)
    return z[is_whole.unflatten(0, (passes, rounds * W))[:, :n].all(0)]


def _in_order(rows: Tensor, count: int) -> Tensor:
    """Return the rows of all ranks, (count, …), without the images that pad the sampler's last round."""
    ranks = dist.all_gather(rows).view(dist.world_size(), *rows.shape)  # image i is on rank i % W
    return ranks.transpose(0, 1).flatten(0, 1)[:count]
