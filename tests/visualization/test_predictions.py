import numpy as np
import pytest

from lewel_plugins.visualization.predictions import draw_predictions


def test_a_row_of_truth_and_a_row_of_predictions():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    truth = dict(boxes=np.array([[2.0, 3.0, 10.0, 12.0]]), labels=np.array([1]), masks=np.zeros((1, 20, 30), bool))
    nothing = dict(boxes=np.zeros((0, 4)), labels=np.zeros(0, int), scores=np.zeros(0))
    scored = dict(boxes=truth['boxes'], labels=np.array([0]), scores=np.array([0.75]))
    samples = [dict(image=image, truth=truth, prediction=nothing), dict(image=image, truth=truth, prediction=scored)]
    figure = draw_predictions(samples, ['shirt', 'bag'])
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert texts == [['bag'], ['bag'], [], ['shirt 0.75']]
    assert [axis.get_ylabel() for axis in figure.axes] == ['truth', '', 'prediction', '']
    (box,) = figure.axes[0].patches
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (1.5, 2.5, 8, 9)


def test_maps_of_classes_have_a_legend_and_leave_background_and_unlabeled_clear():
    image = np.zeros((4, 4, 3), np.uint8)
    labels = np.array([[0, 1, 2, 255]] * 4)
    figure = draw_predictions([dict(image=image, truth=labels, prediction=labels)], ['background', 'shirt', 'bag'])
    overlay = figure.axes[0].images[1].get_array()
    assert (overlay[0, :, 3] > 0).tolist() == [False, True, True, False]
    assert not np.array_equal(overlay[0, 1, :3], overlay[0, 2, :3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['background', 'shirt', 'bag']


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='at least one sample'):
        draw_predictions([], ['shirt'])
