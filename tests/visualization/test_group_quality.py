import numpy as np
import pytest
import torch

from lewel_plugins.visualization.group_quality import (
    density,
    draw_contact_sheet,
    draw_entropy_density,
    pick_groups,
    shuffled_entropy,
)

pytestmark = pytest.mark.core


def test_picks_the_ends_of_large_groups():
    entropy = torch.tensor([0.5, 0.0, float('nan'), 2.0, 1.0, 0.0, 0.1])
    sizes = torch.tensor([10, 2, 0, 20, 9, 8, 7])
    assert pick_groups(entropy, sizes, 2, 7) == ([5, 6], [3, 4])
    assert pick_groups(entropy, sizes, 5, 7) == ([5, 6, 0], [3, 4])  # no group is in both lists
    assert pick_groups(entropy, sizes, 1, 1) == ([5], [3])  # the larger of two pure groups
    assert pick_groups(entropy, sizes, 2, 100) == ([], [])


@pytest.mark.parametrize('values', [[0.0, 0.1, 2.0], [1.0] * 5, list(np.linspace(0, 2.3, 40))], ids=len)
def test_density_sums_to_one_on_the_range(values):
    at = np.linspace(0, 2.3, 2001)
    assert density(np.array(values), at, 2.3).mean() * 2.3 == pytest.approx(1, rel=1e-2)


def test_shuffled_labels_are_more_mixed_than_pure_groups_of_the_same_sizes():
    assignment = torch.arange(400) % 4
    reference = shuffled_entropy(assignment, assignment.clone(), 5)
    assert (reference[:4] > 1.2).all() and reference[4].isnan()


def test_figures_show_their_data():
    entropies = dict(a=torch.tensor([0.1, float('nan'), 1.0]), b=torch.tensor([0.5, 0.6, 0.7]))
    references = dict(a=torch.tensor([1.0, float('nan'), 2.0]), b=torch.tensor([2.2, 2.2, 2.3]))
    axis = draw_entropy_density(entropies, references, 10).axes[0]
    labels = [line.get_label() for line in axis.lines][::2]
    assert labels == ['a: mean 0.55, labels shuffled 1.50', 'b: mean 0.60, labels shuffled 2.23']
    assert axis.get_xlim() == (0, pytest.approx(np.log(10)))
    rows = [('first', torch.rand(3, 3, 8, 8)), ('second', torch.rand(1, 3, 8, 8))]
    figure = draw_contact_sheet(rows, 3, 'title')
    assert sum(bool(axis.images) for axis in figure.axes) == 4
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ['first', 'second']
