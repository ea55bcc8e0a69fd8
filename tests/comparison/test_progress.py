import pytest

from lewel_plugins.comparison.progress import duration, read_progress

pytestmark = pytest.mark.core
PREFIX = '11/21 04:43:09 - mmengine - INFO - '


def test_training_by_epoch(tmp_path):
    log = tmp_path / 'train.log'
    log.write_text(
        f'{PREFIX}Epoch(train)   [2][20/40]  lr: 5.0000e-02  eta: 1 day, 2:03:04  time: 0.1260  loss: -1.1\n'
        f'{PREFIX}Epoch(val) [2][3/3]    eta: 0:00:00  time: 0.0418\n'
    )
    position, fraction, eta = read_progress(log, total=4)
    assert position == 'epoch 2/4, 20/40'
    assert fraction == pytest.approx(1.5 / 4)
    assert eta == 86400 + 2 * 3600 + 3 * 60 + 4


def test_training_by_iteration_last_line_counts(tmp_path):
    log = tmp_path / 'train.log'
    log.write_text(
        f'{PREFIX}Iter(train) [ 5/200]  eta: 0:10:00  loss: 1\n' + 'x' * 20000 + '\n'
        f'{PREFIX}Iter(train) [ 50/200]  lr: 5.0000e-02  loss: 1\n'
    )
    assert read_progress(log, total=0) == ('50/200', 0.25, None)


def test_nothing_yet(tmp_path):
    assert read_progress(tmp_path / 'none.log', 1) is None
    (tmp_path / 'train.log').write_text('loading\n')
    assert read_progress(tmp_path / 'train.log', 1) is None


@pytest.mark.parametrize(
    ('seconds', 'text'), [(None, '?'), (12.4, '12 s'), (59.7, '1 min 00 s'), (123, '2 min 03 s'), (3900, '1 h 05 min')]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
