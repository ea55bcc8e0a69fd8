"""Files that a training leaves in its work dir."""

import json
import os

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.running.work_dir import (
    find_last_checkpoint,
    has_validation,
    last_checkpoint,
    last_metrics,
    list_checkpoints,
    metric_curve,
)
from lewel_plugins.visualization.curves import read_curves

pytestmark = pytest.mark.core


def test_last_checkpoint(tmp_path):
    work_dir, elsewhere = tmp_path / 'run', tmp_path / 'elsewhere'
    work_dir.mkdir()
    elsewhere.mkdir()
    assert find_last_checkpoint(work_dir) is None
    with pytest.raises(SetupError, match='run has no last_checkpoint'):
        last_checkpoint(work_dir)
    (work_dir / 'last_checkpoint').write_text(f'{elsewhere}/iter_2.pth\n')
    assert last_checkpoint(work_dir) == work_dir / 'iter_2.pth'  # the folder has moved since
    (elsewhere / 'iter_2.pth').touch()
    assert last_checkpoint(work_dir) == elsewhere / 'iter_2.pth'  # the run writes its checkpoints elsewhere
    (work_dir / 'iter_2.pth').touch()
    assert last_checkpoint(work_dir) == work_dir / 'iter_2.pth'  # a copy of a work dir goes on from its own


@pytest.mark.parametrize('recorded', ['iter_4.pth', 'iter_6.pth', None])
def test_checkpoints_to_resume_from(tmp_path, recorded):
    assert list_checkpoints(tmp_path) == []
    for step in (4, 2, 6):
        path = tmp_path / f'iter_{step}.pth'
        path.touch()
        os.utime(path, (step, step))
    if recorded:
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / recorded))
    newest_first = ['iter_6.pth', 'iter_4.pth', 'iter_2.pth']
    others = [name for name in newest_first if name != recorded]
    assert [path.name for path in list_checkpoints(tmp_path)] == [*filter(None, [recorded]), *others]


def test_last_metrics(tmp_path):
    with pytest.raises(SetupError, match='has no validation'):
        last_metrics(tmp_path)
    for start, iou in (('20260101', 1.0), ('20260102', 2.0)):
        folder = tmp_path / start / 'vis_data'
        folder.mkdir(parents=True)
        records = [dict(lr=0.1, loss=3.0, step=1), dict(mIoU=iou, step=1, time=0.1), dict(lr=0.1, loss=2.0, step=2)]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))
    assert last_metrics(tmp_path) == dict(mIoU=2.0)


def test_a_torn_line_and_what_hooks_log_in_training_are_no_validation(tmp_path):
    folder = tmp_path / '20260101' / 'vis_data'
    folder.mkdir(parents=True)
    records = [dict(lr=0.1, loss=3.0, step=1), dict(mIoU=1.0, step=1), {'projector/cosine': 0.5, 'iter': 2, 'step': 2}]
    text = '\n'.join(map(json.dumps, records))
    (folder / 'scalars.json').write_bytes(f'{text}\n{{"mIoU": 2.0, "na'.encode() + b'\xc3')  # a kill while it writes
    assert last_metrics(tmp_path) == dict(mIoU=1.0)
    assert metric_curve(tmp_path, 'mIoU') == {1: 1.0}
    assert read_curves(tmp_path)['mIoU'] == ([1], [1.0])
    assert has_validation(tmp_path, 1) and not has_validation(tmp_path, 2)


def test_metric_curve(tmp_path):
    assert metric_curve(tmp_path, 'knn') == {}
    for start, records in (('b', [dict(knn=3.0, step=4)]), ('a', [dict(loss=9.0, step=1), dict(knn=1.0, step=2)])):
        (tmp_path / start / 'vis_data').mkdir(parents=True)
        lines = '\n'.join(map(json.dumps, records))
        (tmp_path / start / 'vis_data' / 'scalars.json').write_text(lines)
    assert list(metric_curve(tmp_path, 'knn').items()) == [(2, 1.0), (4, 3.0)]


@pytest.mark.parametrize('note', [b'', b'\xff\xfe', None])
def test_an_unusable_note_leaves_the_newest_checkpoint(tmp_path, note):
    for epoch in (1, 2):
        (tmp_path / f'epoch_{epoch}.pth').write_bytes(b'x')
        os.utime(tmp_path / f'epoch_{epoch}.pth', (epoch, epoch))
    (tmp_path / 'epoch_3.pth').symlink_to(tmp_path / 'gone.pth')
    if note is not None:
        (tmp_path / 'last_checkpoint').write_bytes(note)
    assert find_last_checkpoint(tmp_path) is None
    assert [path.name for path in list_checkpoints(tmp_path)] == ['epoch_2.pth', 'epoch_1.pth']
