import numpy as np
import pytest

from lewel_plugins.visualization.curves import draw_curves
from lewel_plugins.visualization.projectors import draw_projectors, pair_matrix

pytestmark = pytest.mark.core


def curves(num: int, times: int) -> dict:
    rng, steps = np.random.default_rng(0), [10 * (i + 1) for i in range(times)]
    names = [f'{name}_{m + 1}' for name in ('accuracy', 'weight') for m in range(num)]
    names += [f'{name}_{m + 1}_{o + 1}' for name in ('cosine', 'cka') for m in range(num) for o in range(m + 1, num)]
    return {f'projector/{name}': (steps, rng.uniform(-1, 1, times).tolist()) for name in names}


def test_figure_holds_the_data():
    data = curves(3, 20)
    figure = draw_projectors(data)
    accuracy, weight, cosine, cka, *matrices = figure.axes
    cosines, ckas = matrices[:6], matrices[7:13]  # each is followed by its color bar
    assert [list(line.get_ydata()) for line in accuracy.lines] == [
        data[f'projector/accuracy_{m}'][1] for m in (1, 2, 3)
    ]
    assert [list(line.get_ydata()) for line in weight.lines] == [data[f'projector/weight_{m}'][1] for m in (1, 2, 3)]
    for name, axis, axes in (('cosine', cosine, cosines), ('cka', cka, ckas)):
        assert [text.get_text() for text in axis.get_legend().get_texts()] == ['1, 2', '1, 3', '2, 3']
        assert list(axis.lines[1].get_ydata()) == data[f'projector/{name}_1_3'][1]
        assert [matrix.get_title() for matrix in axes] == [f'iteration {i}' for i in (10, 50, 90, 120, 160, 200)]
        image = np.asarray(axes[-1].images[0].get_array().filled(np.nan))
        assert image[0, 2] == image[2, 0] == data[f'projector/{name}_1_3'][1][-1]
        assert np.isnan(image.diagonal()).all()
    assert ckas[0].images[0].get_clim() == (-1, 1)


def test_a_run_without_cka():
    data = {name: curve for name, curve in curves(3, 4).items() if 'cka' not in name}
    assert len(draw_projectors(data).axes) == 3 + 4 + 1


def test_cka_that_begins_later():
    """It is not logged in an epoch in which it is undefined."""
    data = curves(2, 4)
    data['projector/cka_1_2'] = ([30, 40], [0.1, 0.2])
    assert len(draw_projectors(data).axes) == 4 + 4 + 1 + 2 + 1


def test_matrix_at_a_time():
    data = curves(2, 3)
    for name in ('cosine', 'cka'):
        value = data[f'projector/{name}_1_2'][1][1]
        assert pair_matrix(data, name, 2, 20).tolist() == [[1, value], [value, 1]]


@pytest.mark.parametrize(('num', 'times', 'axes'), [(1, 4, 2), (2, 1, 4 + 2 * (1 + 1)), (8, 7, 4 + 2 * (6 + 1))])
def test_any_number_of_projectors_and_times(num, times, axes):
    assert len(draw_projectors(curves(num, times)).axes) == axes


def test_the_common_curves_show_them_too():
    titles = [axis.get_title() for axis in draw_curves({'run': curves(2, 3)}).axes]
    assert titles == ['Accuracy of projectors', 'Weight of projectors']


def test_a_run_without_projectors():
    with pytest.raises(ValueError, match='MPCLReweightHook'):
        draw_projectors({'loss': ([1], [2.0])})
