import pytest
import torch
from helpers.tiny import backbone_config
from helpers.toy_classifier import linear_config, write_checkpoint
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from lewel_plugins.checkpoints import load_backbone, read_tensors
from lewel_plugins.errors import SetupError
from lewel_plugins.models.classifiers.pretrained_classifier import feature_width

pytestmark = pytest.mark.core
HEAD = dict(type='LinearClsHead', num_classes=4)


def build(**arguments):
    init_default_scope('mmpretrain')
    return MODELS.build(dict(type='lewel_plugins.PretrainedClassifier', head=dict(HEAD), **arguments))


@pytest.mark.parametrize('frozen', [True, False])
def test_training_moves_the_backbone_only_if_it_is_not_frozen(tmp_path, frozen):
    checkpoint = write_checkpoint(tmp_path / 'a.pth')
    cfg = linear_config(tmp_path / 'run', checkpoint, **{'model.frozen': frozen})
    runner = Runner.from_cfg(cfg)
    runner.train()
    loaded = read_tensors(checkpoint)['state_dict']
    now = runner.model.backbone.state_dict()
    same = {name: torch.equal(tensor, loaded[f'backbone.{name}']) for name, tensor in now.items()}
    # Running statistics stay as well, because frozen means eval mode.
    assert set(same.values()) == {True} if frozen else not any(same.values()), same
    assert runner.model.head.fc.weight.shape == (4, 8)
    assert [p.requires_grad for p in runner.model.backbone.parameters()] == [not frozen] * 3


def test_frozen_stays_in_eval_mode_and_gives_what_knn_measures(tmp_path):
    model = build(checkpoint=write_checkpoint(tmp_path / 'a.pth'))
    model.init_weights()
    model.train()
    assert model.head.training and not any(module.training for module in model.backbone.modules())
    x = torch.randn(5, 3, 12, 12)
    (feat,) = model.extract_feat(x)
    assert torch.equal(feat, model.backbone(x)[-1].mean((2, 3)))
    assert torch.equal(feat, model.extract_feat([x])[0])
    assert model.extract_feat(x, 'backbone')[0].shape == (5, 8, 6, 6)
    with pytest.raises(ValueError, match='one view of an image, got 2'):
        model.extract_feat([x, x])


def test_images_must_be_normalized_as_in_pretraining(tmp_path):
    path = write_checkpoint(tmp_path / 'a.pth')
    cifar = dict(mean=[125.307, 122.950, 113.865], std=[62.993, 62.089, 66.705])
    imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['cfg'] += f'\ndata_preprocessor = {imagenet!r}\n'
    torch.save(checkpoint, path)
    build(checkpoint=path, data_preprocessor=imagenet).init_weights()
    with pytest.raises(SetupError, match=r'normalized with mean \[123.675, .*data_preprocessor has mean \[125.3'):
        build(checkpoint=path, data_preprocessor=cifar).init_weights()
    with pytest.raises(SetupError, match='was trained with to_rgb=False, but the .* data_preprocessor has to_rgb=True'):
        build(checkpoint=path, data_preprocessor=dict(imagenet, to_rgb=True)).init_weights()


def test_fine_tuning_trains_all_of_a_moco_v3_vit(tmp_path):
    """The config of the pretraining freezes the patch embedding and the positions; fine-tuning must not."""
    init_default_scope('mmpretrain')
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
    vit = dict(type='MoCoV3ViT', arch=arch, img_size=16, patch_size=8, stop_grad_conv1=True)
    state = {f'backbone.{name}': tensor for name, tensor in MODELS.build(dict(vit)).state_dict().items()}
    torch.save(dict(meta=dict(cfg=f'model = dict(type="MoCoV3", backbone={vit!r})'), state_dict=state), tmp_path / 'a')
    for frozen in (False, True):
        model = build(checkpoint=str(tmp_path / 'a'), frozen=frozen)
        model.init_weights()
        trained = {name: p.requires_grad for name, p in model.backbone.named_parameters()}
        assert {'patch_embed.projection.weight', 'pos_embed'} < set(trained) and set(trained.values()) == {not frozen}
    stages = dict(type='ResNet', depth=18, frozen_stages=1)
    backbone = build(checkpoint=None, backbone=stages, frozen=False).backbone
    assert not backbone.layer1[0].conv1.weight.requires_grad and backbone.layer2[0].conv1.weight.requires_grad


def test_width_is_found_and_leaves_the_backbone_as_it_is(tmp_path):
    backbone = MODELS.build(backbone_config()).train()
    before = backbone.norm.running_mean.clone()
    assert feature_width(backbone) == 8
    assert backbone.training and torch.equal(before, backbone.norm.running_mean)
    vit = dict(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=16, out_type='cls_token')
    init_default_scope('mmpretrain')
    assert feature_width(MODELS.build(vit)) == 192


def test_a_checkpoint_must_be_named_and_fit(tmp_path):
    for arguments in (dict(checkpoint=''), dict(checkpoint=None)):
        with pytest.raises(SetupError, match='no checkpoint to evaluate: name one by model.checkpoint'):
            build(**arguments)
    random = build(checkpoint=None, backbone=backbone_config())
    random.init_weights()
    assert random.head.in_channels == 8
    other = build(checkpoint=write_checkpoint(tmp_path / 'a.pth'), backbone=backbone_config(batch_free=True))
    with pytest.raises(SetupError, match=r'3 tensors that the network lacks \(norm.running_mean'):
        other.init_weights()
    with pytest.raises(SetupError, match='the backbone of the config cannot be built: .*NoNet is not in'):
        build(checkpoint=None, backbone=dict(type='NoNet'))
    with pytest.raises(SetupError, match="'none.pth' does not exist"):
        load_backbone(random.backbone, 'none.pth')
