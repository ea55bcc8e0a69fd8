"""Measure all cells of a design, each once: a killed experiment goes on where it was.

k-NN and linear classification of the arms that are not pretrained come first, because they take minutes: if the given
weights already reach 98%, the expensive part may be needless. The jobs run one after the other, in this process, since
each of them may use the whole machine; the scheduler of comparisons is for commands that run side by side.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from lewel_plugins.files import file_digest
from lewel_plugins.running.jobs import Job, digest

from .answer import Outcome, describe_arm
from .design import (
    ARMS,
    BOXES,
    FLOORS,
    FROZEN,
    KNN,
    LINEAR,
    MASKS,
    MEASURES,
    PRETRAINED,
    TASKS,
    TRAINED,
    Cell,
    Design,
)
from .finetuning import finetune
from .finetuning_length import LENGTHS
from .measures import Score, floor_features, knn, linear, network_features
from .rates import GRIDS, search_rate

Say = Callable[[str], None]
Tune = Callable[..., Score]
ENOUGH = 98.0  # accuracy in percent above which pretraining has little to add
_CACHED = 2  # networks whose features are in memory: the given weights and one more


@dataclass(frozen=True)
class Networks:
    """The files of the networks.

    Args:
        random: Returns the file of random weights for a seed.
        weights: File of the given weights; None without.
        pretrained: Pretrains an arm with a seed if that is not done, and returns the file.
    """

    random: Callable[[int], Path]
    weights: Path | None
    pretrained: Callable[[str, int], Path]

    def file(self, arm: str, seed: int) -> Path:
        """Return the file of an arm for a seed."""
        if arm in PRETRAINED:
            return self.pretrained(arm, seed)
        if arm == 'B':
            assert self.weights is not None
            return self.weights
        return self.random(seed)


class Protocol:
    """All measurements of an experiment.

    Args:
        folder: Folder of the notes of all jobs.
        design: What is measured.
        material: The labeled images: a :class:`Material`, or a :class:`DenseMaterial`, which has trained tasks only.
        networks: The networks.
        finetune_epochs: Length of fine-tuning; by the number of images by default.
        say: Is called with each line for the user.
        tune: Trains a network as :func:`finetune` does, with its arguments; that function by default.
    """

    def __init__(
        self,
        folder: Path,
        design: Design,
        material: Any,
        networks: Networks,
        finetune_epochs: int | None,
        say: Say,
        tune: Tune | None = None,
    ) -> None:
        self.folder, self.design, self.material, self.networks = folder, design, material, networks
        self.finetune_epochs, self.say, self.tune = finetune_epochs, say, tune
        self.rates: dict[str, dict[str, Any]] = {}  # choices by arm and task, for the report
        self._outcomes: dict[Cell, Outcome] = {}
        self._features: OrderedDict[str, Any] = OrderedDict()
        self._digests: dict[Path, str] = {}
        self._material = material.digest

    def run(self) -> list[Outcome]:
        """Measure all cells that are not done, and return the results of all."""
        seeds = range(self.design.seeds)
        has_frozen = bool(set(FROZEN) & set(self.design.tasks))
        if has_frozen:
            self._measure_frozen()
        for seed in seeds:
            if set(TRAINED) & set(self.design.tasks):
                self.say(f'fine-tuning, seed {seed}: {seed + 1} of {self.design.seeds}')
            self._measure(self.design.cells(self.design.arms, TRAINED, [seed]))
        if not has_frozen:
            self._report(self.design.arms)
        return list(self._outcomes.values())

    def _measure_frozen(self) -> None:
        seeds = range(self.design.seeds)
        others = [arm for arm in self.design.arms if arm not in PRETRAINED]
        self.say('measuring arms without pretraining')
        self._measure_floors()
        self._measure(self.design.cells(others, FROZEN, seeds))
        self._report([*FLOORS, *others])
        for seed in seeds:
            for arm in self.design.arms:
                if arm in PRETRAINED:
                    self._measure(self.design.cells([arm], FROZEN, [seed]))
        self._report([arm for arm in self.design.arms if arm in PRETRAINED])

    def _report(self, arms: Sequence[str]) -> None:
        subset = self.design.subsets[-1].words
        for arm in arms:
            line = describe_arm(arm, {**ARMS, **FLOORS}[arm], list(self._outcomes.values()), subset)
            if line:
                self.say(line)
        reached = [o.points for o in self._outcomes.values() if (o.arm, o.task, o.subset) == ('B', LINEAR, subset)]
        if 'B' in arms and reached and fmean(reached) >= ENOUGH:
            self.say(f'note: the given weights already reach {fmean(reached):.1f}%; little is left to gain')

    def _measure_floors(self) -> None:
        file, subset = self.networks.file('A', 0), self.design.subsets[-1]
        for floor in FLOORS:

            def measure(floor: str = floor) -> Score:
                return knn(self._floor(file, floor), self.material, self.material.rows(subset, 0))

            self._once(Cell(floor, KNN, subset, 0), {}, measure)

    def _floor(self, file: Path, floor: str) -> torch.Tensor:
        return self._cached('floors', lambda: floor_features(file, self.material))[floor]

    def _measure(self, cells: Iterator[Cell]) -> None:
        for cell in cells:
            file = self.networks.file(cell.arm, cell.seed)
            inputs: dict[str, Any] = dict(network=self._digest(file))
            if cell.task == KNN:
                self._once(cell, inputs, self._knn, cell, file)
                continue
            rate, length = self._choice(cell.arm, cell.task)
            inputs.update(rate=rate, length=length, epochs=self.finetune_epochs)
            rows, test = self.material.rows(cell.subset, cell.seed), self.material.test
            self._once(cell, inputs, self._train, cell.task, file, rows, test, rate, cell.seed, length, cell.name)

    def _knn(self, cell: Cell, file: Path) -> Score:
        return knn(self._network_features(file), self.material, self.material.rows(cell.subset, cell.seed))

    def _train(
        self,
        task: str,
        file: Path,
        rows: Sequence[int],
        test: Sequence[int],
        rate: float,
        seed: int,
        length: float,
        name: str,
    ) -> Score:
        if task == LINEAR:
            return linear(self._network_features(file), self.material, rows, test, [rate], seed, length)[0]
        folder = self.folder / 'work' / f'{name}-{digest(self._digest(file), rate, length, self._material)[:10]}'
        tune = self.tune or finetune
        return tune(file, self.material, rows, test, rate, seed, length, self.finetune_epochs, folder)

    def _choice(self, arm: str, task: str) -> tuple[float, float]:
        """Return rate and length of an arm and a task, chosen on a fifth of the training labels, with seed 0."""
        key = f'{arm}_{task}'
        if key not in self.rates:
            file = self.networks.file(arm, 0)
            inputs = dict(network=self._digest(file), material=self._material, epochs=self.finetune_epochs)
            job = Job(self.folder / 'rates' / f'{key}.json', {**inputs, 'grid': GRIDS[task]})
            if not job.is_done():
                self.say(f'choosing the rate of {arm} for {TASKS[task]}')
                job.finish(self._search(task, file, key, inputs))
            self.rates[key] = job.result()
        return self.rates[key]['rate'], self.rates[key]['length']

    def _search(self, task: str, file: Path, key: str, inputs: dict[str, Any]) -> dict[str, Any]:
        start = time.monotonic()
        train, judge = self.material.judged()
        grid = GRIDS[task]
        if not judge:
            return dict(rate=grid[1], length=1, scores={}, lengths={}, seconds=0.0)

        def score(rate: float, length: float = 0.5) -> float:
            name = f'{key}_{rate:g}_{length:g}'
            job = Job(self.folder / 'rates' / f'{name}.json', dict(inputs, rate=rate, length=length))
            if not job.is_done():
                job.finish(self._train(task, file, train, judge, rate, 0, length, name).points)
                self._say_points(task, f'rate {rate:g}, length {length:g}', job.result())
            return job.result()

        rate, scores = search_rate(grid, score)
        lengths = {str(length): score(rate, length) for length in LENGTHS} if task in TRAINED else {'1': 0.0}
        length = min(LENGTHS, key=lambda each: (-lengths.get(str(each), -1.0), each))
        return dict(
            rate=rate,
            length=length,
            scores={f'{each:g}': value for each, value in scores.items()},
            lengths=lengths if task in TRAINED else {},
            seconds=time.monotonic() - start,
        )

    def _once(self, cell: Cell, inputs: dict[str, Any], measure: Callable[..., Score], *arguments: Any) -> None:
        rows = digest(self.material.rows(cell.subset, cell.seed))
        job = Job(self.folder / 'cells' / f'{cell.name}.json', {**inputs, 'rows': rows, 'material': self._material})
        if not job.is_done():
            start = time.monotonic()
            result = measure(*arguments)
            job.finish(dict(result._asdict(), seconds=time.monotonic() - start))
            self._say_points(cell.task, f'{cell.arm} {cell.subset.words}', result.points)
        self._outcomes[cell] = Outcome(cell.arm, cell.task, cell.subset.words, cell.seed, **job.result())

    def _say_points(self, task: str, what: str, points: float) -> None:
        """Print the result of a detector or a segmenter, since the next one takes minutes."""
        if task in (BOXES, MASKS):
            self.say(f'  {what}: {points:.1f}{MEASURES[task].unit}')

    def _network_features(self, file: Path) -> torch.Tensor:
        return self._cached(self._digest(file), lambda: network_features(file, self.material))

    def _cached(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._features:
            while len(self._features) >= _CACHED:
                self._features.popitem(last=False)
            self._features[key] = make()
        self._features.move_to_end(key)
        return self._features[key]

    def _digest(self, file: Path) -> str:
        if file not in self._digests:
            self._digests[file] = file_digest(file)
        return self._digests[file]
