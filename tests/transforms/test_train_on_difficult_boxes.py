"""VOC's difficult boxes: what mmdet's data set does with them, and what the recipe's pipeline does."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_data import make_voc
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope, init_default_scope

pytest.importorskip('mmdet')
pytestmark = pytest.mark.core

RECIPE = 'benchmarks/mmdetection/voc0712/faster-rcnn_r50-c4_moco-ms-24k_voc0712.py'
CONFIG = Path(__file__).resolve().parents[2] / 'configs' / RECIPE


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Return the number of targets and of ignored boxes of an image whose first box is difficult, by pipeline."""
    make_voc(tmp_path / 'data' / 'VOCdevkit', np.random.default_rng(0))
    for file in tmp_path.rglob('Annotations/*.xml'):
        file.write_text(file.read_text().replace('<difficult>0<', '<difficult>1<', 1))
    monkeypatch.chdir(tmp_path)
    from mmdet.utils import register_all_modules

    before = DefaultScope.get_current_instance()
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(str(CONFIG))

    def count(dataset: dict) -> tuple[int, int]:
        packed = DATASETS.build(dataset)[0]['data_samples']
        return len(packed.gt_instances), len(packed.ignored_instances)

    yield cfg, count
    if before is not None:
        init_default_scope(before.scope_name)


def test_the_recipe_trains_on_difficult_boxes_and_does_not_test_on_them(sample):
    cfg, count = sample
    train = cfg.train_dataloader.dataset
    targets, ignored = count(train)
    assert targets > 1 and ignored == 0
    for part in train.datasets:
        step = 'lewel_plugins.TrainOnDifficultBoxes'
        part.pipeline = [entry for entry in part.pipeline if entry.type != step]
    assert count(train) == (targets - 1, 1)
    assert count(cfg.val_dataloader.dataset) == (targets - 1, 1)
