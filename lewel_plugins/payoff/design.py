"""What is measured: arms, tasks, label subsets and seeds; and the questions, fixed before the start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .splits import Subset
from .verdicts import LEAST_SEEDS, Question


class Measure(NamedTuple):
    """What a task is measured by.

    Attributes:
        name: Its name.
        words: What it is, with its unit.
        unit: What follows a number.
    """

    name: str
    words: str
    unit: str


ARMS = {
    'A': 'random weights',
    'B': 'the given weights',
    'C': 'pretrained from random weights',
    'D': 'pretraining continued from the given weights',
}
FLOORS = {'pixels': 'raw pixels', 'colors': 'color histograms'}
KNN, LINEAR, FINETUNE = 'knn', 'linear', 'finetune'
BOXES, MASKS = 'detector', 'segmenter'
FROZEN, TRAINED = (KNN, LINEAR), (FINETUNE, BOXES, MASKS)  # tasks on features, and on networks that are trained
TASKS = {KNN: '20-NN', LINEAR: 'linear probe', FINETUNE: 'fine-tuning', BOXES: 'detector', MASKS: 'segmenter'}
_ACCURACY = Measure('Accuracy', 'top-1 accuracy, in percent', '%')
MEASURES = {
    **dict.fromkeys((KNN, LINEAR, FINETUNE), _ACCURACY),
    BOXES: Measure('AP', "COCO's average precision of boxes, AP × 100", ' AP'),
    MASKS: Measure('mIoU', 'mean intersection over union of the classes, in percent', '% mIoU'),
}
PRETRAINED = ('C', 'D')  # arms that are pretrained anew for each seed


class Cell(NamedTuple):
    """One measurement.

    Attributes:
        arm: Key of the arm, or of a floor.
        task: Key of the task.
        subset: The labels to train with.
        seed: Seed of pretraining, label draw, head and order.
    """

    arm: str
    task: str
    subset: Subset
    seed: int

    @property
    def name(self) -> str:
        """A name for files."""
        return f'{self.arm}_{self.task}_{self.subset.key}_seed{self.seed}'


@dataclass(frozen=True)
class Design:
    """What is measured.

    Args:
        arms: Keys of the arms.
        tasks: Keys of the tasks.
        subsets: Labels to train with, all labels last.
        seeds: Number of seeds.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    subsets: tuple[Subset, ...]
    seeds: int

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Arms that are compared, the primary pair first."""
        every = (('D', 'B'), ('C', 'B'), ('C', 'A'))
        return tuple(pair for pair in every if set(pair) <= set(self.arms))

    def primary(self) -> Question:
        """Return the one question that is fixed before the start: all labels, by the last task."""
        return Question(*self.pairs[0], self.tasks[-1], self.subsets[-1].words, is_primary=True)

    def describe(self) -> str:
        """Return the primary question with the arms in words."""
        question = self.primary()
        arms = f'{ARMS[question.arm]} ({question.arm}) against {ARMS[question.baseline]} ({question.baseline})'
        return f'{arms}, {question.subset}, by {TASKS[question.task]}'

    def questions(self) -> list[Question]:
        """Return all questions, the primary one first."""
        primary = self.primary()
        every = [Question(*pair, task, s.words) for pair in self.pairs for task in self.tasks for s in self.subsets]
        return [primary, *(question for question in every if replace(question, is_primary=True) != primary)]

    def cells(self, arms: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
        """Yield the cells of some arms, tasks and seeds of this design, seed by seed."""
        for seed in seeds:
            for arm in arms:
                for task in tasks:
                    for subset in self.subsets:
                        if arm in self.arms and task in self.tasks and seed < self.seeds:
                            yield Cell(arm, task, subset, seed)

    def smaller(self) -> Iterator[tuple[str, 'Design']]:
        """Yield what to drop if the time is short, in order, and the design without it: shots, then C, then seeds."""
        design = self
        shares = tuple(subset for subset in self.subsets if subset.shots is None)
        if len(shares) < len(self.subsets):
            design = replace(design, subsets=shares)
            yield 'few labels per class', design
        if {'B', 'C', 'D'} <= set(design.arms):
            design = replace(design, arms=tuple(arm for arm in design.arms if arm != 'C'))
            yield 'pretraining from random weights (C)', design
        while design.seeds > LEAST_SEEDS:
            design = replace(design, seeds=design.seeds - 1)
            yield f'seeds beyond {design.seeds}', design
