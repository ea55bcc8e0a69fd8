import numpy as np
import pytest

from lewel_plugins.visualization.curves import draw_curves
from lewel_plugins.visualization.projectors import cosine_matrix, draw_projectors

pytestmark = pytest.mark.core


def curves(num: int, times: int) -> dict:
    rng, steps = np.random.default_rng(0), [10 * (i + 1) for i in range(times)]
    names = [f'{name}_{m + 1}' for name in ('accuracy', 'weight') for m in range(num)]
    names += [f'cosine_{m + 1}_{other + 1}' for m in range(num) for other in range(m + 1, num)]
    return {f'projector/{name}': (steps, rng.uniform(-1, 1, times).tolist()) for name in names}


def test_figure_holds_the_data():
    data = curves(3, 20)
    figure = draw_projectors(data)
    accuracy, weight, cosine, *matrices, _ = figure.axes
    assert [list(line.get_ydata()) for line in accuracy.lines] == [
        data[f'projector/accuracy_{m}'][1] for m in (1, 2, 3)
    ]
    assert [list(line.get_ydata()) for line in weight.lines] == [data[f'projector/weight_{m}'][1] for m in (1, 2, 3)]
    assert [text.get_text() for text in cosine.get_legend().get_texts()] == ['1, 2', '1, 3', '2, 3']
    assert [axis.get_title() for axis in matrices] == [f'iteration {i}' for i in (10, 50, 90, 120, 160, 200)]
    image = np.asarray(matrices[-1].images[0].get_array().filled(np.nan))
    assert image[0, 2] == image[2, 0] == data['projector/cosine_1_3'][1][-1]
    assert np.isnan(image.diagonal()).all()


def test_matrix_at_a_time():
    data = curves(2, 3)
    value = data['projector/cosine_1_2'][1][1]
    assert cosine_matrix(data, 2, 20).tolist() == [[1, value], [value, 1]]


@pytest.mark.parametrize(('num', 'times', 'axes'), [(1, 4, 2), (2, 1, 3 + 1 + 1), (8, 7, 3 + 6 + 1)])
def test_any_number_of_projectors_and_times(num, times, axes):
    assert len(draw_projectors(curves(num, times)).axes) == axes


def test_the_common_curves_show_them_too():
    titles = [axis.get_title() for axis in draw_curves({'run': curves(2, 3)}).axes]
    assert titles == ['Accuracy of projectors', 'Weight of projectors']


def test_a_run_without_projectors():
    with pytest.raises(ValueError, match='MPCLReweightHook'):
        draw_projectors({'loss': ([1], [2.0])})
