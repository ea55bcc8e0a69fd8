from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins.evaluation import FeatureValLoop
from lewel_plugins.evaluation.feature_metric import FeatureMetric, FeatureSet
from lewel_plugins.models.features import pooled
from lewel_plugins.registry import HOOKS, OPTIMIZERS

_STATE = 'online_probe'  # key of a checkpoint
_UNLABELED, _UNREAD = -1, -2


@HOOKS.register_module()
class OnlineProbeHook(Hook):
    """Train a linear classifier on the features of the training batches, to watch the backbone with labels.

    The features are the pooled output of the backbone's first call in an iteration, that is, of one view of each image,
    so that no image passes the backbone once more. The classifier has its own optimizer, starts from zero, draws no
    random number and passes no gradient on: the training itself stays the same, to the last bit. Each step sums the
    gradients of all ranks, so that W ranks train the classifier of one process.

    A label is that of the data sample or else, since most recipes drop labels on the way (``PretrainDataset`` with
    ``labels=False``), the ``gt_label`` of the image in the data set. Images without one are left out.

    Logged in percent: ``train/probe_top1``, the accuracy over the last ``interval`` iterations, each batch before the
    classifier has learned from it, and with a ``FeatureValLoop`` ``val/probe/top1``, that on the validation images,
    whose features the loop has extracted. In training the backbone computes BN's statistics from the batch, in
    validation it has the running ones. Checkpoints hold the classifier and its optimizer. On a CPU the hook is 0.1 % of
    a step of LEWEL_M with a ResNet-18 (``docs/results/step_monitors.md``); it waits for a GPU only where it logs.

    Args:
        num_classes: Number of classes; by default that of the data set's metainfo.
        optimizer: Config of the optimizer; by default SGD with rate 0.1 and momentum 0.9. The rate stays constant.
        interval: Iterations between two logged accuracies.

    Raises:
        ValueError: An argument is out of range, the model has no backbone, the data set does not state its classes, a
            label is no class, or the classifier of a resumed run has other classes.
    """

    priority = 'NORMAL'  # before the logger and checkpoints

    def __init__(self, num_classes: int | None = None, optimizer: dict | None = None, interval: int = 50) -> None:
        if num_classes is not None and num_classes < 2:
            raise ValueError(f'num_classes must be at least 2, got {num_classes}')
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        self.num_classes, self.interval = num_classes, interval
        self.optimizer_config = dict(type='SGD', lr=0.1, momentum=0.9) if optimizer is None else dict(optimizer)
        self.probe: nn.ParameterDict | None = None  # its width is known after the first forward pass
        self._optimizer: Any = None
        self._hits: Tensor | None = None  # right ones, and all, since the last logged accuracy
        self._metric = _ProbeMetric(self)
        self._saved: dict | None = None
        self._labels: list[int] = []
        self._known = np.empty(0, np.int32)  # labels that the data set states, by the index of the image
        self._features: Tensor | None = None
        self._is_listening = False
        self._handle: torch.utils.hooks.RemovableHandle | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the classifier of a checkpoint, in case that its run is resumed."""
        self._saved = checkpoint.get(_STATE)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the classifier and its optimizer."""
        if self.probe is not None:
            state = dict(probe=self.probe.state_dict(), optimizer=self._optimizer.state_dict(), hits=self._hits)
            checkpoint[_STATE] = apply_to(state, lambda x: isinstance(x, Tensor), lambda x: x.cpu())

    def before_train(self, runner: Runner) -> None:
        """Listen to the backbone, restore the classifier of a resumed run, and add it to the validation."""
        backbone = getattr(dist.unwrap_model(runner.model), 'backbone', None)
        if not isinstance(backbone, nn.Module):
            raise ValueError(
                f'OnlineProbeHook reads model.backbone, but {type(dist.unwrap_model(runner.model)).__name__} has none'
            )
        dataset = runner.train_dataloader.dataset
        self._check_classes(dataset)
        self._known = np.full(len(dataset), _UNREAD, np.int32)
        self._build_optimizer([nn.Parameter(torch.zeros(1))])  # a wrong config fails here, not after the first batch
        self.after_train(runner)
        # For the whole training, because torch.compile does not see hooks that are added later.
        self._handle = backbone.register_forward_hook(self._capture)
        if runner.iter and self._saved is not None:
            self._restore(self._saved, next(backbone.parameters()).device)
        self._saved = None
        if isinstance(runner.val_loop, FeatureValLoop):
            runner.val_loop.evaluator.metrics.append(self._metric)

    def after_train(self, runner: Runner) -> None:
        """Leave the backbone and the validation."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if isinstance(runner.val_loop, FeatureValLoop) and self._metric in runner.val_loop.evaluator.metrics:
            runner.val_loop.evaluator.metrics.remove(self._metric)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Read the labels, which the data preprocessor may move to the device, and wait for the features."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        self._labels = [self._label(runner.train_dataloader.dataset, sample) for sample in samples or ()]
        self._check_labels()
        self._features, self._is_listening = None, True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None, outputs: dict | None = None
    ) -> None:
        """Train the classifier, and log its accuracy if it is time to."""
        features, self._features, self._is_listening = self._features, None, False
        if features is not None:
            self.train_step(features[: len(self._labels)], self._labels)
        if self._hits is None or not self.every_n_train_iters(runner, self.interval):
            return
        hits, count = self._hits.tolist()
        self._hits.zero_()
        if count:
            runner.message_hub.update_scalar('train/probe_top1', 100 * hits / count)
        else:
            runner.logger.warning(f'OnlineProbeHook: no image of the last {self.interval} iterations has a label')

    @torch.no_grad()
    def train_step(self, features: Tensor, labels: Sequence[int]) -> None:
        """Take a step of the classifier on this rank's part of a batch; all ranks call this.

        The loss is the cross-entropy, averaged over the labeled images of all ranks.

        Args:
            features: Features, (N, D) float32.
            labels: N classes; −1 for an image without one.
        """
        if self.probe is None:
            self._build(features.shape[1], features.device)
        assert self.probe is not None and self._hits is not None and self.num_classes is not None
        target = torch.tensor(labels)
        if features.is_cuda:
            target = target.pin_memory().to(features.device, non_blocking=True)  # does not wait for the step
        logits, is_labeled = self.classify(features), target != _UNLABELED
        # The gradient of the summed cross-entropy in the logits: softmax − one-hot.
        is_class = target[:, None] == torch.arange(self.num_classes, device=target.device)
        grad = logits.softmax(1) * is_labeled[:, None] - is_class.float()
        counts = torch.stack([(logits.argmax(1) == target).sum(), is_labeled.sum()]).float()
        sums = dist.all_reduce_sum(torch.cat([(grad.mT @ features).flatten(), grad.sum(0), counts]))
        weight, bias = self.probe['weight'], self.probe['bias']
        of_weight, of_bias, counts = sums.split([weight.numel(), bias.numel(), len(counts)])
        weight.grad = of_weight.view_as(weight) / counts[1].clamp_min(1)
        bias.grad = of_bias / counts[1].clamp_min(1)
        self._optimizer.step()
        self._hits += counts

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits of features (N, D), (N, C); needs a step of the classifier before."""
        assert self.probe is not None
        return F.linear(features, self.probe['weight'], self.probe['bias'])

    def _capture(self, module: nn.Module, inputs: tuple, output: Tensor | Sequence[Tensor]) -> None:
        if self._is_listening and self._features is None:
            with torch.no_grad():
                self._features = pooled(output)

    def _build(self, width: int, device: torch.device) -> None:
        assert self.num_classes is not None
        # Zeros, because the draw of random weights would change the training.
        shapes = dict(weight=(self.num_classes, width), bias=(self.num_classes,))
        self.probe = nn.ParameterDict({name: torch.zeros(shape, device=device) for name, shape in shapes.items()})
        self._optimizer = self._build_optimizer(list(self.probe.parameters()))
        self._hits = torch.zeros(2, device=device)

    def _build_optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return OPTIMIZERS.build(dict(self.optimizer_config, params=weights))

    def _restore(self, state: dict, device: torch.device) -> None:
        classes, width = state['probe']['weight'].shape
        if classes != self.num_classes:
            raise ValueError(
                f'the classifier of OnlineProbeHook in the checkpoint has {classes} classes, and num_classes is '
                f'{self.num_classes}'
            )
        self._build(width, device)
        assert self.probe is not None and self._hits is not None
        self.probe.load_state_dict(state['probe'])
        self._optimizer.load_state_dict(state['optimizer'])
        self._hits.copy_(state['hits'])

    def _label(self, dataset: Any, sample: Any) -> int:
        if 'gt_label' in sample:
            return int(sample.gt_label)
        index = sample.get('image_index', sample.get('sample_idx', _UNLABELED))
        if index < 0:
            return _UNLABELED
        if self._known[index] == _UNREAD:
            self._known[index] = int(dataset.get_data_info(index).get('gt_label', _UNLABELED))
        return int(self._known[index])

    def _check_classes(self, dataset: Any) -> None:
        if self.num_classes is None:
            classes = getattr(dataset, 'metainfo', {}).get('classes')
            if not classes:
                raise ValueError('the data set of the training does not state its classes: set num_classes')
            self.num_classes = len(classes)

    def _check_labels(self) -> None:
        assert self.num_classes is not None
        largest = max(self._labels, default=_UNLABELED)
        if largest >= self.num_classes:
            raise ValueError(
                f'OnlineProbeHook has num_classes = {self.num_classes}, classes 0 to {self.num_classes - 1}, but an '
                f'image has the label {largest}'
            )


class _ProbeMetric(FeatureMetric):
    """The accuracy of the classifier on the labeled images of a validation, ``probe/top1``."""

    default_prefix = 'probe'

    def __init__(self, hook: OnlineProbeHook) -> None:
        super().__init__()
        self.hook = hook

    def compute_features(self, splits: dict[str, FeatureSet]) -> dict[str, float]:
        """Classify the query set; nothing before the classifier's first step, or without labels."""
        query = splits['query']
        if self.hook.probe is None:
            return {}
        is_labeled = query.label != _UNLABELED
        hits = (self.hook.classify(query.feat[is_labeled]).argmax(1) == query.label[is_labeled]).sum()
        right, count = dist.all_reduce_sum(torch.stack([hits, is_labeled.sum()])).tolist()
        return dict(top1=100 * right / count) if count else {}
