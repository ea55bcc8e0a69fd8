"""The diagnosis of SMoG's groups against float64 loops, on one rank and on two."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.ranks import on_ranks
from torch import Tensor

from lewel_plugins.models.group_diagnosis import GroupDiagnosis, diagnose_groups

pytestmark = pytest.mark.core

ROWS, GROUPS = 40, 5


def unit(rows: int, seed: int, channels: int = 6) -> Tensor:
    x = torch.randn(rows, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(x + torch.arange(rows)[:, None] / rows, dim=1)  # the mean moves with time


def information(groups: list[int], quarters: list[int]) -> float:
    total = len(groups)
    pairs = list(zip(groups, quarters))
    return sum(
        pairs.count(pair)
        / total
        * math.log(pairs.count(pair) * total / (groups.count(pair[0]) * quarters.count(pair[1])))
        for pair in set(pairs)
    )


def naive_diagnosis(x: Tensor, groups: Tensor, seed: int) -> GroupDiagnosis:
    """Diagnose rows in the order of time."""
    nearest = [max(range(len(groups)), key=lambda k: float(row @ groups[k])) for row in x]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).tolist()
    by_time, shuffled = ([4 * time // len(x) for time in times] for times in (range(len(x)), order))
    eigenvalues = torch.linalg.eigvalsh(x.T.cov()).tolist()
    ratio = sum(eigenvalues) ** 2 / sum(value**2 for value in eigenvalues)
    return GroupDiagnosis(information(nearest, by_time), information(nearest, shuffled), ratio)


def diagnose_rank(rank: int) -> GroupDiagnosis:
    x, groups, positions = unit(ROWS, 0), unit(GROUPS, 1), torch.arange(ROWS)
    return diagnose_groups(x[rank::2], positions[rank::2], groups, seed=3)


def test_equals_the_loops_for_rows_in_any_order():
    x, groups, order = unit(ROWS, 0), unit(GROUPS, 1), torch.randperm(ROWS, generator=torch.Generator().manual_seed(2))
    expected = naive_diagnosis(x, groups, seed=3)
    assert expected.quarter_information > 2 * expected.quarter_information_shuffled > 0
    for indices in (torch.arange(ROWS), order):
        assert diagnose_groups(x[indices], indices, groups, seed=3) == pytest.approx(expected, abs=1e-6)


def test_two_ranks_equal_one_process(tmp_path):
    expected = naive_diagnosis(unit(ROWS, 0), unit(GROUPS, 1), seed=3)
    first, second = on_ranks(2, tmp_path, diagnose_rank)
    assert first == second == pytest.approx(expected, abs=1e-6)


def test_blocks_of_rows_change_nothing(monkeypatch):
    x, groups = unit(ROWS, 0), unit(GROUPS, 1)
    monkeypatch.setattr('lewel_plugins.models.group_diagnosis._SIMILARITIES', 35)  # 7 rows for counts, 5 for moments
    expected = naive_diagnosis(x, groups, seed=3)
    assert diagnose_groups(x, torch.arange(ROWS), groups, seed=3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_groups_that_tell_only_the_time_have_log_4(dtype):
    groups = torch.eye(4)
    x = groups.repeat_interleave(10, 0).to(dtype)
    diagnosis = diagnose_groups(x, torch.arange(40), groups, seed=0)
    assert diagnosis.quarter_information == pytest.approx(math.log(4))
    assert diagnosis.quarter_information_shuffled < 0.5
    assert diagnosis.participation_ratio == pytest.approx(3)  # four points of a simplex
    alike = diagnose_groups(groups.repeat(10, 1).to(dtype), torch.arange(40), groups, seed=0)
    # Of the 10 rows of a quarter, 3, 3, 2, 2 are in the groups.
    assert alike.quarter_information == pytest.approx(
        math.log(4) + 2 * (0.3 * math.log(0.3) + 0.2 * math.log(0.2)), abs=1e-6
    )
