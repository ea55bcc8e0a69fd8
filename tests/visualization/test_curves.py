import json

import pytest

from lewel_plugins.visualization.curves import draw_curves, read_curves

pytestmark = pytest.mark.core


def _write(folder, start, records, tail=''):
    file = folder / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(map(json.dumps, records)) + '\n' + tail)


def _train(step, **values):
    return dict(lr=0.1, **values, iter=step, step=step)


def test_validations_stand_at_their_iteration(tmp_path):
    """mmengine counts validations in epochs by default, in iterations with log_metric_by_epoch=False."""
    by_epoch = [
        _train(10, loss=1.0),
        {'knn/top1': 50.0, 'step': 1},
        _train(20, loss=0.5),
        {'knn/top1': 60.0, 'step': 2},
    ]
    _write(tmp_path / 'a', '20260101', by_epoch)
    assert read_curves(tmp_path / 'a')['knn/top1'] == ([10, 20], [50.0, 60.0])
    by_iteration = [{'knn/top1': 40.0, 'step': 0}, _train(10, loss=1.0), {'knn/top1': 50.0, 'step': 15}]
    _write(tmp_path / 'b', '20260101', by_iteration)
    assert read_curves(tmp_path / 'b')['knn/top1'] == ([0, 15], [40.0, 50.0])


def test_a_resumed_run_is_one_curve(tmp_path):
    first = [_train(1, loss=3.0), _train(2, loss=2.0), _train(3, loss=9.0), {'knn/top1': 1.0, 'step': 3}]
    _write(tmp_path, '20260101_000000', first, tail='{"lr": 0.1, "lo')  # killed in the middle of a line
    _write(tmp_path, '20260101_000100', [_train(3, loss=1.0), _train(4, loss=0.5)])
    curves = read_curves(tmp_path)
    assert curves['loss'] == ([1, 2, 3, 4], [3.0, 2.0, 1.0, 0.5])
    assert curves['knn/top1'] == ([], [])


def test_a_start_that_begins_with_the_validation_that_the_one_before_has_missed(tmp_path):
    """By default, mmengine counts it in epochs."""
    first = [_train(100), _train(200), {'knn/top1': 50.0, 'step': 1}, _train(300), _train(400)]
    _write(tmp_path, '20260101', first)
    _write(tmp_path, '20260102', [{'knn/top1': 60.0, 'step': 2}])
    assert read_curves(tmp_path)['knn/top1'] == ([200, 400], [50.0, 60.0])
    # It has trained on from there, and the start after it has repeated a part of that.
    _write(tmp_path, '20260103', [_train(500), _train(600)])
    _write(tmp_path, '20260104', [{'knn/top1': 65.0, 'step': 2}, _train(500, loss=1.0), {'knn/top1': 70.0, 'step': 3}])
    curves = read_curves(tmp_path)
    assert curves['knn/top1'] == ([200, 400, 500], [50.0, 65.0, 70.0]) and curves['lr'][0] == [100, 200, 300, 400, 500]


def test_a_start_from_scratch_begins_with_the_validation_before_its_first_iteration(tmp_path):
    _write(tmp_path, '20260101', [{'knn/top1': 10.0, 'step': 0}, _train(10), _train(20)])
    _write(tmp_path, '20260102', [{'knn/top1': 11.0, 'step': 0}])  # killed before its first checkpoint
    assert read_curves(tmp_path)['knn/top1'] == ([0], [11.0])
    _write(tmp_path, '20260103', [{'knn/top1': 12.0, 'step': 0}, _train(10)])
    assert read_curves(tmp_path)['knn/top1'] == ([0], [12.0]) and read_curves(tmp_path)['lr'][0] == [10]


def test_times_of_validations_are_not_those_of_steps(tmp_path):
    times = dict(time=0.1, data_time=0.01)
    validation = {'knn/top1': 50.0, 'time': 1.1, 'data_time': 1.0, 'step': 10}
    _write(tmp_path, '20260101', [_train(10, **times), validation, _train(20, **times), {**validation, 'step': 25}])
    curves = read_curves(tmp_path)
    assert curves['time'] == ([10, 20], [0.1, 0.1]) and curves['data_time'] == ([10, 20], [0.01, 0.01])
    assert curves['knn/top1'] == ([10, 25], [50.0, 50.0])


def test_repeated_values_of_the_monitor_are_one_point_and_the_last(tmp_path):
    _write(tmp_path, '20260101', [_train(i, loss=1.0, std=0.5 if i < 4 else 0.7) for i in range(1, 7)])
    curves = read_curves(tmp_path)
    assert curves['std'] == ([1, 4, 6], [0.5, 0.7, 0.7])
    assert len(curves['loss'][0]) == 6


def test_figure_holds_the_data():
    curves = {
        'loss': ([1, 2], [2.0, 1.0]),
        'loss_global': ([1, 2], [1.5, 0.5]),
        'knn/top1_k5': ([2], [40.0]),
        'std': ([1, 2], [0.9, 0.8]),
        'time': ([1, 2], [0.1, 0.1]),
    }
    figure = draw_curves({'run': curves}, {'raw pixels': 33.0})
    assert [axis.get_title() for axis in figure.axes] == ['Loss', 'k-NN accuracy, %', 'Std of unit features × √d']
    loss, knn, _ = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [1.5, 0.5]]
    assert [text.get_text() for text in knn.get_legend().get_texts()] == ['k = 5', 'raw pixels 33.0']
    both = draw_curves({'a': curves, 'b': curves})
    assert [text.get_text() for text in both.legends[0].get_texts()] == ['a', 'b']
    assert [list(line.get_ydata()) for line in both.axes[0].lines if len(line.get_ydata())] == [[2.0, 1.0]] * 2


def test_spectra_are_logarithmic_and_labeled():
    curves = {f'spectrum_{share}': ([1, 2], [2.0, 1.0 / (1 + share)]) for share in (0, 25, 50, 75)}
    (axis,) = draw_curves({'run': curves}).axes
    assert axis.get_title() == 'Spectrum of the embeddings, × d' and axis.get_yscale() == 'log'
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ['largest', 'at 25 %', 'at 50 %', 'at 75 %']


def test_nothing_to_draw(tmp_path):
    with pytest.raises(FileNotFoundError, match='is it the work dir of a run'):
        read_curves(tmp_path)
    with pytest.raises(ValueError, match='none of the runs a has a curve'):
        draw_curves({'a': {'time': ([1], [1.0])}})
