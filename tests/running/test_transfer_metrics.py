import pytest
import torch
from helpers.checkpoints import save
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.transfer import merge_metrics, read_backbone, set_checkpoint

pytestmark = pytest.mark.core
CFG = "model = dict(type='X')\ndata_preprocessor = dict(mean=[1.0, 2, 3], std=[4, 5, 6], bgr_to_rgb=True)"


def test_metrics_of_several_configs_do_not_overwrite_each_other():
    c4, fpn, fcn = {'coco/bbox_mAP': 0.4, 'coco/segm_mAP': 0.3}, {'coco/bbox_mAP': 0.5}, {'mIoU': 70.0}
    assert merge_metrics(dict(c4=c4, fcn=fcn)) == {**c4, **fcn}
    assert merge_metrics(dict(c4=c4, fpn=fpn, fcn=fcn)) == {
        'c4/coco/bbox_mAP': 0.4,
        'coco/segm_mAP': 0.3,
        'fpn/coco/bbox_mAP': 0.5,
        'mIoU': 70.0,
    }


def test_the_backbone_is_copied_with_its_normalization(tmp_path):
    state = {'backbone.a': torch.arange(3), 'neck.b': torch.ones(1)}
    source = save(tmp_path / 'a.pth', state, CFG)
    cfg = Config(dict(model=dict(backbone=dict(type='X'), roi_head=dict(shared_head=dict(type='Y')))))
    backbone = read_backbone(str(source))
    set_checkpoint(cfg, backbone, tmp_path / 'new' / 'copy.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'new' / 'copy.pth'), prefix='backbone.')
    assert cfg.model.backbone.init_cfg == cfg.model.roi_head.shared_head.init_cfg == init
    copied = torch.load(init['checkpoint'], weights_only=True)
    assert list(copied['state_dict']) == ['backbone.a'] and copied['meta']['source'] == str(source)
    assert copied['meta']['data_preprocessor'] == dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
    set_checkpoint(cfg, None, tmp_path / 'none.pth')
    assert cfg.model.backbone.init_cfg is None and not (tmp_path / 'none.pth').exists()
    with pytest.raises(SetupError, match="no tensor whose name starts with 'backbone.'"):
        read_backbone(str(save(tmp_path / 'b.pth', {'neck.b': torch.ones(1)})))
