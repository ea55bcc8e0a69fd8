"""Protocols that share the frozen features of a linear evaluation's images."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from lewel_plugins.files import replacing
from lewel_plugins.running.setup import load_config
from lewel_plugins.visualization.confusion_matrix import confusion_matrix, draw_confusion_matrix
from lewel_plugins.visualization.embedding_map import map_embeddings
from lewel_plugins.visualization.images import to_rgb
from lewel_plugins.visualization.neighbors import Neighbors, draw_neighbors

from .extraction import extract_features, plain_loader
from .feature_metric import FeatureSet
from .knn import knn_classes, nearest
from .linear_probe import LinearResult, build_classifier, dropped_steps, linear_probe

_MAP_IMAGES = 2000  # images of the embedding map, because the cost of t-SNE grows with their square


class FrozenEvaluation:
    """k-NN, linear evaluation and pictures of a checkpoint's frozen features, which are extracted once.

    Args:
        suite: A suite with the entries ``linear`` (the config of the linear evaluation), ``lrs`` and ``knn``.
        checkpoint: The checkpoint.
        seed: Seed of the linear classifier's weights and of the order of its images.
        out: Folder of the pictures.
        options: Overrides of the linear evaluation's config.
    """

    PROTOCOLS = ('knn', 'linear', 'pictures')

    def __init__(self, suite: Config, checkpoint: Path, seed: int, out: Path, options: dict[str, Any]) -> None:
        self.suite, self.seed, self.out = suite, seed, out
        self.name = f'{checkpoint.resolve().parent.name}/{checkpoint.name}'
        self.cfg = load_config(str(Path(suite.filename).parent / suite.linear))
        self.cfg.merge_from_dict(options)
        self.cfg.model.checkpoint = str(checkpoint)
        init_default_scope(self.cfg.get('default_scope', 'mmpretrain'))

    def measure(self, protocol: str) -> dict[str, Any]:
        """Return the numbers of one of ``PROTOCOLS``."""
        protocols = dict(knn=self._knn, linear=self._linear, pictures=self._pictures)
        return protocols[protocol]()

    @cached_property
    def _model(self) -> Any:
        return build_classifier(self.cfg, self.seed)

    @cached_property
    def _loaders(self) -> dict[str, DataLoader]:
        pipeline = self.cfg.val_dataloader.dataset.get('pipeline')
        return dict(bank=plain_loader(self.cfg.train_dataloader, pipeline), query=plain_loader(self.cfg.val_dataloader))

    @cached_property
    def _bank(self) -> FeatureSet:
        return extract_features(self._model, self._loaders['bank'], 'features, training')

    @cached_property
    def _query(self) -> FeatureSet:
        return extract_features(self._model, self._loaders['query'], 'features, validation')

    @cached_property
    def _classes(self) -> list[str]:
        names = self._loaders['query'].dataset.metainfo.get('classes') or ()  # type: ignore[attr-defined]
        count = 1 + max(int(self._bank.label.max()), int(self._query.label.max()))
        return list(names) if len(names) >= count else [str(i) for i in range(count)]

    @cached_property
    def _linear_results(self) -> list[LinearResult]:
        return linear_probe(self.cfg, self._model.head, self._bank, self._query, self.suite.lrs, self.seed)

    def _knn(self) -> dict[str, Any]:
        """Return the accuracy for each number of neighbors, up to the size of the bank."""
        k = [each for each in self.suite.knn.k if each <= len(self._bank.feat)]
        predictions = knn_classes(
            self._query.feat, self._bank.feat, self._bank.label, len(self._classes), k, self.suite.knn.temperature
        )
        hits = (predictions == self._query.label).double().mean(1)
        return {f'top1_k{each}': 100 * hit for each, hit in zip(k, hits.tolist())}

    def _linear(self) -> dict[str, Any]:
        """Return the accuracy with the first learning rate, and that with each."""
        dropped = dropped_steps(self.cfg)
        if dropped:
            steps = ', '.join(dropped)
            print(f'linear: training images are processed as in validation, without {steps}', flush=True)
        first = self._linear_results[0]
        by_rate = {f'{result.lr:g}': result.top1 for result in self._linear_results}
        return dict(top1=first.top1, top5=first.top5, top1_by_rate=by_rate)

    def _pictures(self) -> dict[str, Any]:
        """Draw confusion matrix, nearest neighbors and embedding map; return the map's numbers."""
        result = self._linear_results[0]
        counts = confusion_matrix(self._query.label.cpu(), result.predictions.cpu(), len(self._classes))
        title = f'{self.name}, linear evaluation: {result.top1:.1f} %'
        self._save(draw_confusion_matrix(counts, self._classes, title), 'confusion.png')
        self._save(self._draw_neighbors(rows=10, columns=10), 'neighbors.png')
        x, labels = self._query.feat.cpu(), self._query.label.cpu()
        rows = torch.arange(0, len(x), max(1, len(x) // _MAP_IMAGES))
        figure, numbers = map_embeddings(x[rows], labels[rows], self._classes, f'backbone of {self.name}', True)
        self._save(figure, 'embeddings.png')
        return {name: numbers[name] for name in ('rank_me', 'uniformity')}

    def _save(self, figure: Any, name: str) -> None:
        with replacing(self.out / name) as partial:
            figure.savefig(partial, format='png')

    def _draw_neighbors(self, rows: int, columns: int) -> Any:
        # The queries are spread over the validation set, because its images are sorted by class.
        count = len(self._query.feat)
        queries = [(2 * i + 1) * count // (2 * rows) for i in range(min(rows, count))]
        similarity, neighbors = nearest(
            self._query.feat[queries], self._bank.feat, [min(columns, len(self._bank.feat))]
        )
        lines = []
        for i, cosines, indices in zip(queries, similarity.tolist(), neighbors.tolist()):
            images = torch.stack([self._loaders['bank'].dataset[index]['inputs'] for index in indices])
            lines.append(
                Neighbors(
                    to_rgb(self._loaders['query'].dataset[i]['inputs'][None], self._model)[0],
                    self._classes[int(self._query.label[i])],
                    to_rgb(images, self._model),
                    [self._classes[int(self._bank.label[index])] for index in indices],
                    cosines,
                )
            )
        return draw_neighbors(lines, f'{self.name}: validation images and their nearest training images, with cosines')
