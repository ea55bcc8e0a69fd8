"""Linear SVMs on frozen features of images with several labels: VOC07's classification with all images or with few.

MSBReg Sec. 8.4 specifies "a linear support vector machine" and no more. The protocol is our choice, after Goyal et al.
2019, Scaling and Benchmarking Self-Supervised Visual Representation Learning. scikit-learn trains the SVMs and computes
the precision-recall curves.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from lewel_plugins.seeding import derive_seed

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def voc_targets(dataset: Any) -> np.ndarray:
    """Return the targets of mmpretrain's ``VOC``, (N, C) int8: 1 shown, 0 absent, −1 shown only as difficult."""
    targets = np.zeros((len(dataset), len(dataset.metainfo['classes'])), np.int8)
    for row in range(len(dataset)):
        info = dataset.get_data_info(row)
        targets[row, list(info['gt_label_difficult'] or ())] = IGNORED
        targets[row, list(info['gt_label'])] = POSITIVE
    return targets


def average_precision_11(positive: np.ndarray, scores: np.ndarray) -> float:
    """Compute the average precision by VOC07's rule.

    It is the mean, over the recalls 0, 0.1, …, 1, of the best precision at this recall or a higher one.

    Args:
        positive: Whether each image shows the class, (N,) bool.
        scores: Scores, higher for more likely, (N,). Images with equal scores share a threshold.

    Returns:
        The average precision in [0, 1]; NaN if no image is positive.
    """
    if not positive.any():
        return float('nan')
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point, precision 1 at recall 0, belongs to no image
    # In tenths, because 0.1 · 3 exceeds 0.3 in floating point.
    return float(np.mean([precision[recall * 10 >= t - 1e-9].max() for t in range(11)]))


def average_precision_area(positive: np.ndarray, scores: np.ndarray) -> float:
    """Compute the average precision by scikit-learn's rule, the area under the curve; NaN if no image is positive."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, scores)) if positive.any() else float('nan')


def train_svm(x: np.ndarray, positive: np.ndarray, cost: float, seed: int = 0) -> Any:
    """Train a linear SVM with squared hinge loss and L2 penalty, in which positives count twice.

    Args:
        x: Unit features, (N, D).
        positive: Whether each image is positive, (N,) bool; both kinds must occur.
        cost: C, positive.
        seed: Seed of the solver.
    """
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=cost, class_weight={1: 2, 0: 1}, dual=True, tol=1e-4, max_iter=2000, random_state=seed)
    return svm.fit(x, positive.astype(int))


def choose_cost(x: np.ndarray, positive: np.ndarray, costs: Sequence[float], folds: int, seed: int = 0) -> float:
    """Return the cost with the best mean average precision in a stratified cross-validation; of equals, the lowest.

    With a single positive or negative there is no validation: return the middle cost, or the lower middle one.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = min(folds, int(positive.sum()), int((~positive).sum()))
    if folds < 2:
        return sorted(costs)[(len(costs) - 1) // 2]
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, positive))
    precisions = {}
    for cost in sorted(costs):
        svms = [(train_svm(x[train], positive[train], cost, seed), test) for train, test in parts]
        precisions[cost] = np.mean(
            [average_precision_area(positive[i], svm.decision_function(x[i])) for svm, i in svms]
        )
    return max(precisions, key=lambda cost: precisions[cost])


def few_shots(targets: np.ndarray, shots: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the rows to train each class with: ``shots`` positives and (C − 1) times as many negatives at most."""
    rows = []
    for column in targets.T:
        positives, negatives = np.flatnonzero(column == POSITIVE), np.flatnonzero(column == NEGATIVE)
        count = shots * (targets.shape[1] - 1)
        rows.append(np.concatenate([rng.permutation(positives)[:shots], rng.permutation(negatives)[:count]]))
    return rows


class SVMBenchmark:
    """VOC07's classification by linear SVMs on unit features, one per class.

    Args:
        train: Features (N, D) and targets (N, C) to train with, see :func:`voc_targets`.
        test: Features and targets to measure on.
        seed: Seed of the draws, the folds and the solver.

    Raises:
        ValueError: The numbers of features and targets differ, or a class has no positive or no negative to train with.
    """

    def __init__(self, train: tuple[Tensor, np.ndarray], test: tuple[Tensor, np.ndarray], seed: int = 0) -> None:
        for name, (x, y) in (('training', train), ('test', test)):
            if len(x) != len(y):
                raise ValueError(f'{len(x)} {name} features, but {len(y)} targets')
        self.x, self.test_x = (F.normalize(x.float(), dim=1).cpu().double().numpy() for x in (train[0], test[0]))
        self.y, self.test_y = train[1], test[1]
        self.seed = seed
        for number, column in enumerate(self.y.T):
            if not {POSITIVE, NEGATIVE} <= set(column.tolist()):
                raise ValueError(
                    f'class {number} is shown by {int((column == POSITIVE).sum())} of {len(column)} images: an SVM '
                    'needs images with and without the class'
                )

    def full(self, costs: Sequence[float], folds: int) -> dict[str, Any]:
        """Train with all images, with one cost per class from a cross-validation.

        Returns:
            ``map`` by the rule of VOC07, ``map_area`` by that of scikit-learn, percent; ``ap`` and ``cost`` per class.
        """
        chosen_costs, rows = [], []
        for column in track(self.y.T, 'SVMs, all images', total=self.y.shape[1]):
            used = np.flatnonzero(column != IGNORED)
            rows.append(used)
            chosen_costs.append(choose_cost(self.x[used], column[used] == POSITIVE, costs, folds, self.seed))
        return {**self._measure(rows, chosen_costs), 'cost': chosen_costs}

    def low_shot(self, shots: int, draws: int, cost: float) -> dict[str, Any]:
        """Train with ``shots`` positives per class, drawn ``draws`` times.

        Returns:
            ``map`` and ``map_area``, means over the draws; ``std`` of ``map`` (0 for one draw); and ``maps``.
        """
        results = []
        for draw in range(draws):
            rng = np.random.default_rng(derive_seed(self.seed, shots, draw))
            results.append(self._measure(few_shots(self.y, shots, rng), [cost] * self.y.shape[1]))
        maps = [result['map'] for result in results]
        spread = float(np.std(maps, ddof=1)) if draws > 1 else 0.0
        area = float(np.mean([result['map_area'] for result in results]))
        return dict(map=float(np.mean(maps)), std=spread, map_area=area, maps=maps)

    def _measure(self, rows: Sequence[np.ndarray], costs: Sequence[float]) -> dict[str, Any]:
        by_rule, by_area = [], []
        for column, test_column, used, cost in zip(self.y.T, self.test_y.T, rows, costs):
            svm = train_svm(self.x[used], column[used] == POSITIVE, cost, self.seed)
            counted = test_column != IGNORED
            scores, positive = svm.decision_function(self.test_x[counted]), test_column[counted] == POSITIVE
            by_rule.append(100 * average_precision_11(positive, scores))
            by_area.append(100 * average_precision_area(positive, scores))
        return dict(map=float(np.nanmean(by_rule)), map_area=float(np.nanmean(by_area)), ap=by_rule)
