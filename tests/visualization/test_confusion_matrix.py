import pytest
import torch

from lewel_plugins.visualization.confusion_matrix import confusion_matrix, draw_confusion_matrix


def test_counts_true_classes_in_rows():
    labels, predictions = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 2, 2, 1, 0])
    assert confusion_matrix(labels, predictions, 3).tolist() == [[1, 0, 2], [0, 1, 0], [1, 0, 0]]


def test_figure_shows_shares_of_the_class():
    counts = torch.tensor([[1, 0, 2], [0, 4, 0], [0, 0, 0]])  # the last class has no images
    axis, _ = draw_confusion_matrix(counts, ['a', 'b', 'c'], 'title').axes
    shown = {tuple(map(int, text.get_position())): text.get_text() for text in axis.texts}
    assert shown == {(0, 0): '33', (2, 0): '67', (1, 1): '100'}
    assert axis.images[0].get_array()[0, 2] == pytest.approx(200 / 3)
    assert [label.get_text() for label in axis.get_yticklabels()] == ['a', 'b', 'c']
