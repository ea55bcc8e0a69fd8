"""Validation and test loops that measure the features of the backbone."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop, ValLoop
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins import dist
from lewel_plugins.datasets.pretrain_dataset import broken_files
from lewel_plugins.models.features import pooled_features, raw_pixels
from lewel_plugins.registry import LOOPS

from .feature_metric import FeatureSet, gather_rows

UNREADABLE = 'unreadable_images'  # key of a message
_PROGRESS_SECONDS = 30


class FeatureRows:
    """Collect the features of batches in one tensor, with half the memory of a list and its concatenation.

    Args:
        count: Largest number of images.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.end = 0
        self.rows: Tensor | None = None

    def add(self, features: Tensor) -> int:
        """Copy the features of a batch, (N, D), and return N."""
        if self.rows is None:
            self.rows = features.new_empty(self.count, features.shape[1])
        start, self.end = self.end, self.end + len(features)
        self.rows[start : self.end] = features
        return len(features)

    def filled(self) -> Tensor:
        """Return all features that were added, which must be at least one batch."""
        assert self.rows is not None
        return self.rows[: self.end]


def count_non_finite(features: Tensor) -> Tensor:
    """Count the rows with NaN or infinite entries, (). The tensor is tested in parts, because the test copies it."""
    return torch.stack([(~part.isfinite().all(1)).sum() for part in features.split(1 << 14)]).sum()


def labels_and_indices(data_samples: Sequence) -> tuple[list[int], list[int]]:
    """Return the class and the dataset index of each sample; −1 if it has none.

    Call it before the data preprocessor: ``ClsDataPreprocessor`` of mmpretrain moves the labels of these samples to the
    GPU, and the host would wait for each of them.
    """
    labels, indices = [], []
    for sample in data_samples:
        label = getattr(sample, 'gt_label', None)
        if label is not None and label.numel() != 1:
            raise ValueError(f'the metrics need one label per image, got a gt_label of {label.numel()} entries')
        labels.append(-1 if label is None else int(label))
        indices.append(int(sample.metainfo.get('sample_idx', -1)))
    return labels, indices


def note_unreadable(runner: Runner, files: Sequence[str]) -> None:
    """Leave a message to ``BrokenImageHook`` about files that a validation could not read."""
    if files:
        runner.message_hub.update_info(UNREADABLE, [*runner.message_hub.runtime_info.get(UNREADABLE, ()), *files])


def _drop_rows(features: FeatureSet, is_whole: Tensor, split: str, size: int) -> FeatureSet:
    """Drop images that a distributed sampler has given to several ranks, and those that replace broken ones.

    Args:
        features: Features of this rank.
        is_whole: Whether the image of each row could be read, (N,) bool.
        split: Name of the split.
        size: Number of images in its dataset.
    """
    if dist.world_size() == 1:
        features = features._replace(sample_idx=torch.arange(len(features.feat), device=features.feat.device))
        return features if bool(is_whole.all()) else FeatureSet(*(x[is_whole] for x in features))
    keep = _keep_once(features, split, size) & is_whole
    return FeatureSet(*(x[keep] for x in features))


def _keep_once(features: FeatureSet, split: str, size: int) -> Tensor:
    """Return which rows of this rank count, (N,) bool: of an image on several ranks, that on the lowest one."""
    indices = gather_rows(features.sample_idx)
    rows = gather_rows(torch.full_like(features.sample_idx, dist.rank()))
    order = indices.argsort(stable=True)
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = indices[order][1:] != indices[order][:-1]
    keep = torch.empty_like(first)
    keep[order] = first
    if int(keep.sum()) != size or bool((indices < 0).any()):
        raise ValueError(
            f'the {split} dataset has {size} images but {int(keep.sum())} different `sample_idx`: on several ranks, '
            'every sample needs an index of its own in its metainfo (keep sample_idx in the meta_keys of PackInputs)'
        )
    return keep[rows == dist.rank()]


def _check_finite(features: FeatureSet, split: str) -> None:
    bad = int(dist.all_reduce_sum(count_non_finite(features.feat)))
    if bad:
        raise ValueError(f'the features of {bad} {split} images are NaN or infinite: the backbone has diverged')


class _FeatureLoop:
    """Mixin with the common part of the two loops."""

    runner: Runner
    dataloader: DataLoader
    evaluator: Evaluator
    stage: str

    def _build_bank(self, bank_dataloader: DataLoader | dict | None) -> None:
        self.bank_dataloader: DataLoader | None = None
        if bank_dataloader is not None:  # build_dataloader returns a loader that is already built unchanged
            self.bank_dataloader = self.runner.build_dataloader(bank_dataloader, seed=self.runner.seed)

    def run(self) -> dict:
        """Feed the features of the bank and the query set to the metrics, and return their values."""
        self.runner.call_hook(f'before_{self.stage}')
        self.runner.call_hook(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        splits = [] if self.bank_dataloader is None else [('bank', self.bank_dataloader)]
        for split, dataloader in [*splits, ('query', self.dataloader)]:
            features = self._extract(split, dataloader)
            self.evaluator.process(data_samples=[dict(split=split, **features._asdict())], data_batch=None)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))  # type: ignore[arg-type]
        self.runner.call_hook(f'after_{self.stage}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.stage}')
        return metrics

    def raw_pixels(self) -> dict[str, FeatureSet]:
        """Return the images of bank and query set as the backbone gets them: what features are compared with."""
        model = dist.unwrap_model(self.runner.model)
        model.eval()
        loaders = {} if self.bank_dataloader is None else dict(bank=self.bank_dataloader)
        loaders['query'] = self.dataloader
        # Under other names, because hooks count the iterations of "query".
        return {split: self._extract(f'{split} (pixels)', loader, raw_pixels) for split, loader in loaders.items()}

    @torch.no_grad()
    def _extract(
        self, split: str, dataloader: DataLoader, measure: Callable[[Any, dict], Tensor] = pooled_features
    ) -> FeatureSet:
        """Extract this rank's features of a dataset, without those of padding and of what replaces broken images."""
        model = dist.unwrap_model(self.runner.model)
        rows = FeatureRows(len(dataloader.sampler))  # type: ignore[arg-type]
        labels, indices, broken = [], [], list[list[str]]()
        logged = time.monotonic()
        for batch_idx, data_batch in enumerate(dataloader):
            # The hooks count the iterations of the query set's dataloader, so only those are reported to them.
            if split == 'query':
                self.runner.call_hook(f'before_{self.stage}_iter', batch_idx=batch_idx, data_batch=data_batch)
            batch_labels, batch_indices = labels_and_indices(data_batch['data_samples'])
            rows.add(measure(model, data_batch))
            labels += batch_labels
            indices += batch_indices
            broken += broken_files(data_batch['data_samples'])
            if split == 'query':
                self.runner.call_hook(
                    f'after_{self.stage}_iter', batch_idx=batch_idx, data_batch=data_batch, outputs=[]
                )
            elif time.monotonic() - logged > _PROGRESS_SECONDS:
                logged = time.monotonic()
                self.runner.logger.info(f'Features of the bank: batch {batch_idx + 1} of {len(dataloader)}')
        if not labels:
            raise ValueError(f'the {split} dataloader yields no batch on rank {dist.rank()}')
        feat = rows.filled()
        features = FeatureSet(feat, *(torch.tensor(numbers, device=feat.device) for numbers in (labels, indices)))
        note_unreadable(self.runner, [file for files in broken for file in files])
        is_whole = torch.tensor([not files for files in broken], device=feat.device)
        features = _drop_rows(features, is_whole, split, len(dataloader.dataset))  # type: ignore[arg-type]
        _check_finite(features, split)
        return features


@LOOPS.register_module()
class FeatureValLoop(_FeatureLoop, ValLoop):
    """Validation on the features of the model's backbone, for metrics such as ``KNNMetric``.

    Works for any OpenMMLab model with a ``backbone``. The features are the backbone's last output in float32, averaged
    over positions if it is a map. Those of the bank and of the validation set go through the evaluator. Each rank keeps
    its share on its device: images / ranks · D · 4 bytes. An image that a distributed sampler repeats counts once. One
    that a ``PretrainDataset`` has replaced, because its file is broken, is left out.

    Args:
        runner: The runner.
        dataloader: Query set; the runner passes its ``val_dataloader``.
        evaluator: Metrics; the runner passes its ``val_evaluator``.
        bank_dataloader: Labeled bank, e.g. the training images under the test pipeline; None for metrics that need
            no labels.
    """

    stage = 'val'

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        bank_dataloader: DataLoader | dict | None = None,
    ) -> None:
        super().__init__(runner, dataloader, evaluator)
        self._build_bank(bank_dataloader)


@LOOPS.register_module()
class FeatureTestLoop(_FeatureLoop, TestLoop):
    """:class:`FeatureValLoop` as a test loop.

    Args:
        runner: The runner.
        dataloader: Query set; the runner passes its ``test_dataloader``.
        evaluator: Metrics; the runner passes its ``test_evaluator``.
        bank_dataloader: Labeled bank; None for metrics that need no labels.
    """

    stage = 'test'

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        bank_dataloader: DataLoader | dict | None = None,
    ) -> None:
        super().__init__(runner, dataloader, evaluator)
        self._build_bank(bank_dataloader)
