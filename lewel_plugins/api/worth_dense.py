"""One call of ``lewel worth`` for labels that are boxes or masks."""

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.payoff.cost import Choice, Seconds, Sizes
from lewel_plugins.payoff.dense_labels import DenseLabels
from lewel_plugins.payoff.design import Design
from lewel_plugins.payoff.experiment import Experiment
from lewel_plugins.payoff.finetuning_length import LENGTHS
from lewel_plugins.payoff.rates import num_searched
from lewel_plugins.payoff.splits import distinct_subsets

from .run_folder import CONFIG, RunFolder
from .training import Say
from .worth_request import Request
from .worth_session import Session

if TYPE_CHECKING:
    from lewel_plugins.payoff.dense_material import DenseMaterial
    from lewel_plugins.payoff.protocol import Protocol


class DenseSession(Session):
    """A call that trains a detector or a segmenter per arm, subset and seed.

    Args:
        labels: The labels, in the order of the experiment's images.
        request: What the user asks for.
        experiment: The images.
        folder: Folder of the answer.
        work: Folder to write to: the same, or a temporary one in a dry run.
        say: Is called with each line for the user.
    """

    def __init__(
        self, labels: DenseLabels, request: Request, experiment: Experiment, folder: RunFolder, work: Path, say: Say
    ) -> None:
        self.labels = labels
        super().__init__(request, experiment, folder, work, say)

    @property
    def _resample(self) -> Any:
        return self.material.resample

    def _protocol(self, design: Design) -> 'Protocol':
        from .worth_training import train_dense

        gpus, workers = self.settings.gpus, self.settings.workers
        return self._new_protocol(design, partial(train_dense, gpus=gpus, workers=workers))

    def choice(self) -> Choice:
        """Return the design that the time allows, with its cost; print the number of trainings."""
        choice = super().choice()
        design = choice.design
        count = len(design.arms) * (num_searched() + len(LENGTHS) + design.seeds * len(design.subsets))
        self.say(f'at most {count:,} trainings of a {self.labels.task}')
        return choice

    def _design(self) -> Design:
        shares = [subset for subset in self.request.candidates() if subset.shots is None]
        chosen = distinct_subsets(shares, self.material.pools())
        return Design(self._arms(), (self.labels.task,), tuple(chosen), self.request.seeds)

    def _sizes(self, design: Design) -> Sizes:
        from lewel_plugins.finetuning.start import read_start
        from lewel_plugins.payoff.dense_config import plan_training

        start, _ = read_start(str(self.networks.random(0)))
        sizes = [len(self.material.rows(subset, 0)) for subset in design.subsets]
        epochs, gpus = self.settings.finetune_epochs, self.settings.gpus
        plans = [plan_training(self.material, start, size, epochs=epochs, gpus=gpus) for size in sizes]
        images = [plan['epochs'] * size for plan, size in zip(plans, sizes)]
        test, labeled = len(self.experiment.test), len(self.experiment.paths)
        return Sizes(labeled=labeled, test=test, subsets=sizes, steps=self._steps(), images=images)

    def _measure_seconds(self) -> Seconds:
        from mmengine.config import Config

        from lewel_plugins.payoff.timing import measure_dense_seconds

        from .worth_training import Training, write_training

        run, settings, material = RunFolder(self.work / 'work' / 'timing'), self.settings, self.material
        network = self.networks.random(0)
        rows = material.train, material.test
        write_training(run, Training(network, material, *rows, 1, 0, 1, None, settings.gpus, settings.workers))
        seconds = measure_dense_seconds(self.config, Config.fromfile(run / CONFIG), self.labels.task)
        shutil.rmtree(run.path)
        return seconds

    def _material(self) -> 'DenseMaterial':  # type: ignore[override]
        from lewel_plugins.payoff.dense_material import DenseMaterial

        e = self.experiment
        return DenseMaterial(self.labels, e.targets, e.groups, e.train, e.test)
