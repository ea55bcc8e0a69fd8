"""What docs/own_data.md says about files and configs holds."""

import re

import cv2
import numpy as np
from helpers.tool_runs import ROOT
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from lewel_plugins.image_files.tree import EXTENSIONS
from lewel_plugins.planning import labels

TEXT = (ROOT / 'docs' / 'own_data.md').read_text(encoding='utf-8')


def test_the_config_trains_on_the_folder(tmp_path, monkeypatch):
    (code,) = re.findall(r'^```python\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL)
    file = tmp_path / 'own.py'
    file.write_text(code.replace("'configs/", f"'{ROOT}/configs/"), encoding='utf-8')
    for name in ('b.jpg', 'a.PNG'):
        path = tmp_path / 'photos' / 'of' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmpretrain')
    config = Config.fromfile(file)
    assert config.val_dataloader is None and config.test_cfg is None  # else ImageNet would be opened
    data = DATASETS.build(config.train_dataloader.dataset)
    assert type(data.dataset).__name__ == 'ImageTree' and len(data) == 2
    assert [view.shape for view in data[0]['inputs']] == [(3, 224, 224)] * 2


def test_extensions_and_labels_are_those_of_the_package():
    assert f'`{" ".join(EXTENSIONS)}`' in TEXT
    for column in (labels.PATH, labels.LABEL):
        assert f'`{column}`' in TEXT
