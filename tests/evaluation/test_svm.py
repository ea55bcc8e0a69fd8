"""Mean average precision and SVMs as for VOC07."""

import numpy as np
import pytest
import torch

from lewel_plugins.evaluation.svm import (
    SVMBenchmark,
    average_precision_11,
    average_precision_area,
    choose_cost,
    few_shots,
    train_svm,
    voc_targets,
)

pytest.importorskip('sklearn')


def naive_11(positive, scores):
    """Apply the rule of VOC07 literally, at every threshold between different scores."""
    total = 0.0
    for tenth in range(11):
        best = 0.0
        for cut in sorted(set(scores)):
            accepted = [p for p, s in zip(positive, scores) if s >= cut]
            if 10 * sum(accepted) >= tenth * sum(positive):
                best = max(best, sum(accepted) / len(accepted))
        total += best / 11
    return total


def test_average_precision_of_a_worked_case():
    # Ranked + − + − −: precision 1 up to recall 1/2 (recalls 0 to 0.5: six of the eleven), 2/3 up to 1 (five).
    positive = np.array([1, 0, 1, 0, 0], bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert average_precision_11(positive, scores) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert average_precision_area(positive, scores) == pytest.approx((1 + 2 / 3) / 2)
    # The first image is wrong: scikit-learn's final point (precision 1, recall 0) must not count.
    assert average_precision_11(~positive, scores) == pytest.approx(3 / 5)
    assert np.isnan(average_precision_11(np.zeros(5, bool), scores))


def test_rules_agree_where_precision_is_constant():
    positive = np.array([1, 0, 0, 1] * 5, bool)
    for scores in (positive.astype(float), np.ones(20)):  # every label is right, and all scores are equal
        area = average_precision_area(positive, scores)
        assert average_precision_11(positive, scores) == pytest.approx(area)
        assert area == pytest.approx(1.0 if scores.std() else 0.5)


def test_average_precision_against_the_rule_read_literally():
    rng = np.random.default_rng(0)
    for count in (1, 3, 10, 30):  # with 10 and 30, recalls fall on tenths
        scores = rng.integers(0, 25, 60).astype(float)  # with ties
        positive = np.isin(np.arange(60), rng.permutation(60)[:count])
        assert average_precision_11(positive, scores) == pytest.approx(naive_11(positive.tolist(), scores.tolist()))


def clusters(n: int, seed: int, noise: float = 0.4):
    """Return features of images that show one or two of three classes, and targets (N, 3)."""
    rng = np.random.default_rng(seed)
    y = np.zeros((n, 3), np.int8)
    y[np.arange(n), np.arange(n) % 3] = 1
    y[np.arange(0, n, 5), (np.arange(0, n, 5) + 1) % 3] = 1
    x = y @ np.eye(3, 6) + noise * rng.normal(size=(n, 6))
    return torch.from_numpy(x), y


def test_svms_learn_and_more_shots_help():
    benchmark = SVMBenchmark(clusters(90, 0), clusters(60, 1))
    full = benchmark.full((0.01, 1.0), folds=3)
    assert full['map'] > 90 and len(full['ap']) == 3 and set(full['cost']) <= {0.01, 1.0}
    assert full['map'] == pytest.approx(np.mean(full['ap']))
    one, eight = (benchmark.low_shot(shots, 3, 0.5) for shots in (1, 8))
    assert one['map'] < eight['map'] < full['map'] + 1
    assert len(one['maps']) == 3 and one['std'] == pytest.approx(np.std(one['maps'], ddof=1))
    assert one == SVMBenchmark(clusters(90, 0), clusters(60, 1)).low_shot(1, 3, 0.5)
    assert one != SVMBenchmark(clusters(90, 0), clusters(60, 1), seed=1).low_shot(1, 3, 0.5)


def test_full_is_the_map_of_scikit_learn_on_the_same_scores():
    (x, y), (test_x, test_y) = clusters(60, 0), clusters(40, 1)
    test_y[3, 0] = -1  # difficult, so it does not count
    result = SVMBenchmark((x, y), (test_x, test_y)).full((0.1,), folds=2)
    unit, test_unit = (torch.nn.functional.normalize(each.float(), dim=1).double().numpy() for each in (x, test_x))
    expected = []
    for c in range(3):
        counted = test_y[:, c] >= 0
        svm = train_svm(unit, y[:, c] == 1, 0.1)
        expected.append(average_precision_area(test_y[counted, c] == 1, svm.decision_function(test_unit)[counted]))
    assert result['map_area'] == pytest.approx(100 * np.mean(expected))
    assert result['cost'] == [0.1] * 3


def test_cost_is_chosen_by_cross_validation():
    x, y = clusters(60, 0, noise=0.6)
    x = torch.nn.functional.normalize(x, dim=1).numpy()
    cost = choose_cost(x, y[:, 0] == 1, (1e-6, 0.1, 1e3), folds=3)
    assert cost in (1e-6, 0.1, 1e3)
    assert choose_cost(x, y[:, 0] == 1, (2.0,), folds=3) == 2.0
    single = np.zeros(60, bool)
    single[0] = True
    assert choose_cost(x, single, (5.0, 0.1, 0.2), folds=3) == 0.2  # too few to validate with
    assert choose_cost(x, single, (0.01, 0.1, 0.5, 1.0), folds=3) == 0.1


def test_few_shots_leave_difficult_images_out():
    y = clusters(60, 0)[1]
    y[:6, 0] = -1
    rows = few_shots(y, 4, np.random.default_rng(0))
    for column, used in zip(y.T, rows):
        assert sorted(column[used].tolist()) == [0] * 8 + [1] * 4 and len(set(used)) == 12


def test_targets_of_voc():
    class VOC:
        metainfo = dict(classes=list('abc'))
        infos = [
            dict(gt_label=[0], gt_label_difficult=[0, 2]),  # a is also shown and not difficult
            dict(gt_label=[1, 2], gt_label_difficult=[]),
            dict(gt_label=[], gt_label_difficult=None),
        ]

        def __len__(self):
            return 3

        def get_data_info(self, i):
            return self.infos[i]

    assert voc_targets(VOC()).tolist() == [[1, 0, -1], [0, 1, 1], [0, 0, 0]]


def test_data_that_cannot_be_measured():
    (x, y), test = clusters(30, 0), clusters(30, 1)
    with pytest.raises(ValueError, match='29 training features, but 30 targets'):
        SVMBenchmark((x[1:], y), test)
    y[:, 2] = 0
    with pytest.raises(ValueError, match='class 2 is shown by 0 of 30 images: an SVM needs images with and without'):
        SVMBenchmark((x, y), test)
