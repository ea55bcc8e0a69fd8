import time
from collections.abc import Iterator
from copy import copy
from itertools import islice

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lewel_plugins import dist
from lewel_plugins.models import FeatureCache, SMoG
from lewel_plugins.models.group_diagnosis import MOST_INFORMATION, GroupDiagnosis, diagnose_groups
from lewel_plugins.registry import HOOKS
from lewel_plugins.running.watched_loader import watched
from lewel_plugins.seeding import derive_seed

STARTS = ('kmeans', 'random')
_ROWS_PER_GROUP = 10  # images per group for the first K-means


@HOOKS.register_module()
class SMoGResetHook(Hook):
    """Start SMoG's groups, and reset groups and teacher every ``interval`` optimizer steps. SMoG, Secs. 3.2 and 3.4.

    At the start of a new run, also of one from the weights of another (``load_from``), the groups become the clusters
    of the embeddings of the first batches, 10 images per group or one epoch. Every ``interval`` optimizer steps they
    become the clusters of the online embeddings of the last ``window`` steps, and the teacher becomes a copy of the
    online network, except after the last step. With gradient accumulation a step has several iterations.

    Every ``interval`` steps the hook logs, as ``train/…`` through the message hub,

    - ``groups_used``: share of the groups to which an embedding was assigned since the last reset;
    - ``groups_agreement``: share of the images since then that online network and teacher assign to the same group;

    and, if it clusters, measures of the new groups on the embeddings of the window (:class:`GroupDiagnosis`):

    - ``groups_quarter_information``: mutual information, in nats, of group and quarter of the window; near log 4 =
      1.39, the groups separate times instead of images, because the window is a large share of training;
    - ``groups_quarter_information_shuffled``: the same with shuffled times, that of groups that do not depend on time;
    - ``groups_participation_ratio``: number of dimensions over which the variance of the embeddings is spread.

    Args:
        interval: Optimizer steps between resets; 300 in the paper.
        window: Optimizer steps before a reset whose embeddings K-means clusters; None for all since the last reset, as
            in the paper.
        cluster: Reset the groups (Table 7b, "periodical clustering").
        teacher: Reset the teacher (Table 7b, "reset f̂_η").
        start: ``kmeans`` or ``random`` unit vectors.

    Raises:
        ValueError: An argument is out of range, the model is not SMoG, or K-means would get fewer features than groups.
    """

    def __init__(
        self,
        interval: int = 300,
        window: int | None = None,
        cluster: bool = True,
        teacher: bool = True,
        start: str = 'kmeans',
    ) -> None:
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        if window is not None and not 1 <= window <= interval:
            raise ValueError(f'window must be None or in 1 … interval = {interval}, got {window}')
        if start not in STARTS:
            raise ValueError(f'start must be one of {STARTS}, got {start!r}')
        self.interval, self.window = interval, interval if window is None else window
        self.cluster, self.teacher, self.start = cluster, teacher, start

    def before_train(self, runner: Runner) -> None:
        """Start the groups of a new run."""
        model = self._model(runner)
        model.has_resets = True
        if runner.iter == 0:
            model.restart()  # `load_from` has loaded the groups of another run
            if self.start == 'kmeans':
                self._start_groups(runner, model)
        if self.cluster:
            self._check_window(runner, model)
            if model.head.groups.count_steps() % self.interval > self.interval - self.window and not model.cache.filled:
                runner.logger.warning(
                    'The checkpoint holds no cached features, so the next K-means has fewer features than without the '
                    'resume. AtomicCheckpointHook saves them.'
                )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Keep the embeddings of the iteration if its step is in the window."""
        model = self._model(runner)
        self._steps_before = model.head.groups.count_steps()
        if self.cluster and self._steps_before % self.interval >= self.interval - self.window:
            model.cache.start(self.window * _iterations_per_step(runner))
        else:
            model.cache.stop()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Log measures of the groups, and reset groups and teacher, after every ``interval`` optimizer steps."""
        model = self._model(runner)
        steps = model.head.groups.count_steps()
        if steps == self._steps_before or steps % self.interval:  # the iteration is none that ends an interval
            return
        scalars = model.head.groups.pop_usage()._asdict()
        if not self.is_last_train_iter(runner):  # else keep the groups that the network has learned with
            if self.cluster:
                scalars |= self._reset_groups(runner, model)._asdict()
            if self.teacher:
                model.reset_teacher()
        # mmengine logs the mean over a window of scalars whose names contain `time` or `loss`; these have no such name.
        for name, value in scalars.items():
            runner.message_hub.update_scalar(f'train/groups_{name}', value)
        runner.logger.info(_report(scalars))

    def _reset_groups(self, runner: Runner, model: SMoG) -> GroupDiagnosis:
        seed = derive_seed(runner.seed, runner.iter + 1)
        self._cluster(runner, model, model.cache, seed)
        diagnosis = diagnose_groups(*model.cache.features(), model.head.groups.rows, seed)
        model.cache.clear()
        return diagnosis

    @staticmethod
    def _model(runner: Runner) -> SMoG:
        model = dist.unwrap_model(runner.model)
        if not isinstance(model, SMoG):
            raise ValueError(f'SMoGResetHook is for SMoG, but the model is a {type(model).__name__}')
        return model

    def _check_window(self, runner: Runner, model: SMoG) -> None:
        batch = (runner.train_dataloader.batch_size or 1) * dist.world_size() * _iterations_per_step(runner)
        if self.window * batch < model.head.groups.num_groups:
            raise ValueError(
                f'a window of {self.window} of interval = {self.interval} steps of {batch} images gives fewer '
                f'features than num_groups = {model.head.groups.num_groups}: raise window or interval, or lower the '
                'number of groups'
            )

    def _start_groups(self, runner: Runner, model: SMoG) -> None:
        loader = runner.train_dataloader
        batch = (loader.batch_size or 1) * dist.world_size()
        count = min(len(loader), -(-_ROWS_PER_GROUP * model.head.groups.num_groups // batch))
        cache = FeatureCache(model.neck.out_channels, 'float32').to(model.head.groups.rows.device)
        cache.start(count)
        seed = derive_seed(runner.seed, 0)
        torch.manual_seed(derive_seed(seed, dist.rank()))  # so that views made on the device differ between ranks
        model.train()
        with torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
            for i, data in enumerate(_first_batches(loader, count)):
                # The teacher is equal to the online network, or has been loaded with it, and nothing reads its running
                # statistics.
                cache.add(model.teacher(model.data_preprocessor(data, True)['inputs'][i % 2]))
        self._cluster(runner, model, cache, seed)

    @staticmethod
    def _cluster(runner: Runner, model: SMoG, cache: FeatureCache, seed: int) -> None:
        begin = time.monotonic()
        clusters = model.head.groups.cluster(*cache.features(), seed, runner.logger.info)
        runner.logger.info(
            f'Groups reset: {cache.total} features in {len(clusters.sizes)} groups of {int(clusters.sizes.min())} to '
            f'{int(clusters.sizes.max())}, inertia {clusters.inertia:.4f}, {clusters.iterations} moves, '
            f'{time.monotonic() - begin:.1f} s'
        )


def _iterations_per_step(runner: Runner) -> int:
    """Return the number of iterations whose gradients an optimizer step accumulates."""
    return getattr(runner.optim_wrapper, '_accumulative_counts', 1)


def _report(measures: dict[str, float]) -> str:
    """Return the line that reports the measures of the groups at a reset."""
    used, agreement = (100 * measures[name] for name in ('used', 'agreement'))
    line = f'Groups: {used:.0f} % used, online network and teacher agree on {agreement:.0f} % of the images'
    if 'quarter_information' in measures:
        line += (
            f', time information {measures["quarter_information"]:.2f} of {MOST_INFORMATION:.2f} nats '
            f'({measures["quarter_information_shuffled"]:.2f} with times shuffled), '
            f'participation ratio {measures["participation_ratio"]:.1f}'
        )
    return line


def _first_batches(loader: DataLoader, count: int) -> Iterator[dict]:
    """Yield the first batches of an epoch from a new loader; that of the run may be in use or keep its workers."""
    first = DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=copy(loader.sampler),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
    )
    return islice(watched(first), count)
