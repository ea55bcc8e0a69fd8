from collections.abc import Sequence
from math import isfinite

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.evaluation.representation_metric import spectrum_at_quartiles
from lewel_plugins.models.features import embeddings
from lewel_plugins.registry import HOOKS

_MAX_SAMPLES = 2048
_SPECTRUM = ('spectrum_0', 'spectrum_25', 'spectrum_50', 'spectrum_75')


class CollapseError(RuntimeError):
    """The representation has collapsed, and ``RepresentationMonitorHook.stop`` is set."""


def scaled_std(x: Tensor) -> Tensor:
    """Standard deviation of unit features over the batch, averaged over dimensions, times sqrt(d). SimSiam, Sec. 4.1.

    Args:
        x: Features, (N, d).

    Returns:
        A scalar: 1 where they are spread evenly over the sphere, 0 where all are equal.
    """
    unit = nn.functional.normalize(x.double(), dim=1)
    return unit.std(0, correction=0).mean() * x.shape[1] ** 0.5


def _measures(z: list[Tensor]) -> dict[str, Tensor]:
    """Return the measures of one or two views, each (N, d); nothing if an entry is not finite."""
    if not all(view.isfinite().all() for view in z):  # there are no eigenvalues
        return {}
    std = torch.stack([scaled_std(view) for view in z]).mean()
    if len(z[0]) == 1:
        return dict(std=std, rank_me=torch.stack([LF.rank_me(view) for view in z]).mean())
    ranks, spectra = zip(*(LF.rank_me_and_spectrum(view) for view in z))
    return dict(
        std=std,
        rank_me=torch.stack(ranks).mean(),
        uniformity=LF.uniformity(z[0]),
        alignment=LF.alignment(z[0], z[-1]) if z[0].shape == z[-1].shape else std * torch.nan,
        **spectrum_at_quartiles(torch.stack(spectra).mean(0)),
    )


@HOOKS.register_module()
class RepresentationMonitorHook(Hook):
    """Log the spread of the embeddings in training, and detect a collapse.

    Every ``interval`` iterations it reads the output of the online ``model.neck`` and logs the measures below, as
    ``train/…`` through the message hub. They are computed from the first output, (N, d), of the first two views and of
    at most 2048 images of all ranks, whether views have a call of the neck each or one together, (KN, d). Of M
    projectors, (M, N, d), the unit embeddings side by side, (N, Md), are measured.

    - ``std``: standard deviation of the unit embeddings times sqrt(d), mean over the views; 1 = spread evenly, 0 =
      collapsed;
    - ``rank_me``: effective rank in [1, min(N, d)], mean over the views;
    - ``spectrum_0``, ``_25``, ``_50``, ``_75``: singular values of the covariance of the unit embeddings times d, the
      largest and those that 25, 50 and 75 % of the others exceed, mean over the views; 1 = spread evenly;
    - ``uniformity``: of the first view;
    - ``alignment``: mean squared distance between the first two views, if there are two;
    - ``teacher_momentum``: 1 − α, if the model has a ``teacher``.

    The training itself stays the same. ``std`` and ``rank_me`` are compared with the bounds, as are those of the
    backbone if a ``RepresentationMetric`` measures them in validation. After ``patience`` checks in a row below a
    bound, the hook warns, or stops training before anything more is saved.

    The bounds are far from the values on both sides. From random initialization, the lowest values of BYOL, MoCo v2,
    LEWEL_B and LEWEL_M (ResNet-10, -18, -50, BN in the head or not) are std 0.11 and rank 4.8, in the first iterations
    of MoCo v2. LEWEL_B without predictor and teacher, where nothing prevents a collapse, falls below std 0.03 and rank
    2 within 30 iterations, and to 0.012 and 1.5 within 125.

    Args:
        interval: Iterations between checks.
        min_std: Lower bound of ``std``.
        min_rank: Lower bound of ``rank_me``, which cannot exceed the size of the batch.
        patience: Number of checks in a row below a bound that count as a collapse.
        stop: Raise :class:`CollapseError` instead of warning.

    Raises:
        ValueError: An argument is out of range, or the model has no neck.
    """

    priority = 'NORMAL'  # after RuntimeInfoHook, before the logger and checkpoints

    def __init__(
        self,
        interval: int = 50,
        min_std: float = 0.03,
        min_rank: float = 2.0,
        patience: int = 3,
        stop: bool = False,
    ) -> None:
        for name, value in (('interval', interval), ('patience', patience)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        if not 0 <= min_std < 1:
            raise ValueError(f'min_std bounds a quantity of about [0, 1] and must be in [0, 1), got {min_std}')
        if not min_rank >= 1:
            raise ValueError(f'min_rank bounds a rank and must be at least 1, got {min_rank}')
        self.interval, self.patience, self.stop = interval, patience, stop
        self.bounds = dict(std=min_std, rank_me=min_rank)
        self._strikes = dict(train=0, val=0)
        self._captured: list[Tensor] = []
        self._images = 0  # number of images of this rank
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._listening = False
        self._warned_empty = self._warned_failure = False
        self._failure = ''  # error of the last measurement, on the first rank

    def before_train(self, runner) -> None:
        """Check that there is a neck to read."""
        model = self._model(runner)
        neck = getattr(model, 'neck', None)
        if not isinstance(neck, nn.Module):
            raise ValueError(f'RepresentationMonitorHook reads model.neck, but {type(model)} has none')
        self.after_train(runner)
        # The hooks stay for the whole training, because torch.compile does not see hooks that are added later.
        self._handles = [
            model.register_forward_pre_hook(self._count, with_kwargs=True),
            neck.register_forward_hook(self._capture),
        ]

    def after_train(self, runner) -> None:
        """Remove the hooks from model and neck."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Capture the output of the neck during an iteration that is measured."""
        self._captured = []  # a failed iteration may have left outputs
        self._listening = self.every_n_train_iters(runner, self.interval)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Measure and log the output of the neck."""
        if not self._listening:
            return
        self._listening = False
        views, self._captured = self._captured, []
        if not views:
            if not self._warned_empty:
                runner.logger.warning('RepresentationMonitorHook: the model did not call its neck; nothing is logged')
                self._warned_empty = True
            return
        measures = self._measure(views)
        if measures is None:
            self._warn_unmeasured(runner)
            return
        momentum = getattr(getattr(self._model(runner), 'teacher', None), 'momentum', None)
        for name, value in measures.items():
            runner.message_hub.update_scalar(f'train/{name}', value)
        if momentum is not None:
            runner.message_hub.update_scalar('train/teacher_momentum', float(momentum))
        self._judge(runner, 'train', f'the embeddings at iteration {runner.iter + 1}', measures)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Compare the validated measures of the backbone with the bounds."""
        names = {name: f'representation/{name}' for name in self.bounds}
        if metrics and all(name in metrics for name in names.values()):
            measures = {name: metrics[full] for name, full in names.items()}
            self._judge(runner, 'val', f'the backbone features at iteration {runner.iter}', measures)

    @staticmethod
    def _model(runner) -> nn.Module:
        return dist.unwrap_model(runner.model)

    def _count(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        if self._listening:
            inputs = kwargs['inputs'] if 'inputs' in kwargs else args[0]
            self._images = len(inputs if isinstance(inputs, Tensor) else inputs[0])

    def _capture(self, module: nn.Module, inputs: tuple, output: Tensor | Sequence[Tensor]) -> None:
        if self._listening:
            z, N = embeddings(output).detach(), self._images
            # On GPUs and several ranks, K views may go through the networks together, (KN, d).
            self._captured += z.split(N) if N and len(z) % N == 0 else [z]

    @torch.no_grad()
    def _measure(self, views: list[Tensor]) -> dict[str, float] | None:
        """Measure on the first rank, and return its numbers on every rank; None if an entry is not finite."""
        views = views[:2]  # multi-crop calls the neck more often
        step = -(-dist.world_size() * len(views[0]) // _MAX_SAMPLES)
        parts = [dist.gather(view[::step].float()) for view in views]
        names = ['std', 'rank_me']
        if dist.world_size() * len(views[0]) > 1:
            names += ['uniformity', *_SPECTRUM]
        if len(views) > 1 and views[0].shape == views[1].shape:
            names.append('alignment')
        values = views[0].new_zeros(len(names), dtype=torch.float)
        if dist.rank() == 0:
            measures = self._measured([torch.cat(view) for view in parts])
            values += torch.stack([measures[name].float() for name in names]) if measures else torch.nan
        numbers = dist.all_reduce_sum(values).tolist()  # the other ranks add zeros
        return dict(zip(names, numbers)) if all(map(isfinite, numbers)) else None

    def _measured(self, z: list[Tensor]) -> dict[str, Tensor]:
        """Return the measures; nothing where they fail, since the other ranks wait for the numbers of this one."""
        self._failure = ''
        try:
            return _measures(z)
        except RuntimeError as error:  # eigenvalues that do not converge, or have no memory
            # Its text alone: the error would keep the tensors alive.
            self._failure = f'{type(error).__name__}: {error}'.splitlines()[0]
            return {}

    def _warn_unmeasured(self, runner) -> None:
        where = f'the embeddings at iteration {runner.iter + 1}'
        if not self._failure:
            if dist.rank() == 0:  # another rank does not know of a failure
                runner.logger.warning(f'{where.capitalize()} hold NaN or infinite entries.')
            return
        if not self._warned_failure:
            runner.logger.warning(
                f'RepresentationMonitorHook: {where} could not be measured, and the training goes on without '
                f'({self._failure}). Later failures are not reported.'
            )
            self._warned_failure = True

    def _judge(self, runner, stage: str, what: str, measures: dict[str, float]) -> None:
        low = {name: measures[name] for name, bound in self.bounds.items() if not measures[name] >= bound}
        self._strikes[stage] = self._strikes[stage] + 1 if low else 0
        if not low or self._strikes[stage] % self.patience:
            return
        numbers = ', '.join(f'{name} {value:.4g} (bound {self.bounds[name]:g})' for name, value in low.items())
        message = (
            f'COLLAPSE: {what} point in nearly one direction: {numbers}, '
            f'for {self._strikes[stage]} checks in a row. '
            'Check that the predictor and the stop-gradient are in place and that the teacher is updated; try a lower '
            'learning rate, a longer warm-up, a slower teacher (smaller momentum) or a larger batch.'
        )
        if self.stop:
            raise CollapseError(message)
        runner.logger.warning(message)
