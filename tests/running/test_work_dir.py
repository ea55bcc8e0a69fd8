"""Files that a training leaves in its work dir."""

import json

import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.running.work_dir import find_last_checkpoint, last_checkpoint, last_metrics

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


def test_last_metrics(tmp_path):
    with pytest.raises(SetupError, match='has no validation'):
        last_metrics(tmp_path)
    for start, iou in (('20260101', 1.0), ('20260102', 2.0)):
        folder = tmp_path / start / 'vis_data'
        folder.mkdir(parents=True)
        records = [dict(lr=0.1, loss=3.0, step=1), dict(mIoU=iou, step=1, time=0.1), dict(lr=0.1, loss=2.0, step=2)]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))
    assert last_metrics(tmp_path) == dict(mIoU=2.0)
