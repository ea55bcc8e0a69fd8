"""Every recipe builds its model, optimizer, schedule and hooks; MIM and readers can rely on its name."""

import re
from math import prod
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, init_default_scope

from lewel_plugins.models import MomentumPretrainer, group_schedule
from lewel_plugins.running.num_views import check_num_views

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RECIPES = sorted(
    path for room in ('lewel', 'smog', 'mpcl', 'msbreg', 'baselines') for path in CONFIGS.glob(f'{room}/*.py')
)
SMOG = [path for path in RECIPES if path.parent.name == 'smog']
MPCL = [path for path in RECIPES if path.parent.name == 'mpcl']
CIFAR = [path for path in RECIPES if re.search('_resnet18_.*_cifar10$', path.stem)]
LIGHTLY = [path for path in RECIPES if re.search('_resnet18_1xb128-.*_cifar10$', path.stem)]
SMALL = [path for path in RECIPES if re.search('_resnet10_.*_cifar10$', path.stem)]
MSBREG = [path for path in RECIPES if path.parent.name == 'msbreg']


def test_basenames_are_unique():
    names = [path.name for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    assert len(names) == len(set(names)) > 20


@pytest.mark.sampled(3)
@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_builds(path):
    cfg = Config.fromfile(str(path))
    init_default_scope('mmpretrain')
    cfg.model.data_preprocessor = cfg.data_preprocessor
    if cfg.model.neck.hid_channels == 8192:  # four projectors of Barlow Twins take 2.4 GB
        cfg.model.neck.update(hid_channels=64, out_channels=64)
    if 'resnet50x' in path.stem:  # up to 3 GB, so the layers have a sixteenth of the width
        for part, name in ((cfg.model.neck, 'in_channels'), (cfg.model.backbone, 'base_channels')):
            part[name] //= 16
        cfg.model.backbone.stem_channels //= 16
    model = MODELS.build(cfg.model)
    ours = cfg.model.type.startswith('lewel_plugins.')
    has_teacher = ours and 'barlowtwins' not in path.stem and path.parent.name != 'baselines'
    has_teacher |= '_resnet50_' in path.stem and path.parent.name == 'baselines'
    assert isinstance(model, MomentumPretrainer) == has_teacher
    # tools/train.py also replaces mixed precision on a machine without a GPU.
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    assert len(wrapper.optimizer.param_groups) <= 2
    optimized = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}
    if has_teacher:
        assert not optimized & {id(p) for p in model.teacher.parameters()}
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        if hook['type'].startswith('lewel_plugins.'):
            HOOKS.build(hook)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_schedule_and_batch_are_what_the_name_says(path):
    cfg = Config.fromfile(str(path))
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[-1].T_max == cfg.train_cfg.max_epochs - cfg.param_scheduler[-1].begin
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)-', path.stem).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    epochs = int(re.search(r'-(\d+)e_', path.stem)[1])
    assert cfg.train_cfg.max_epochs == epochs


def lewel_b_numbers(batch: int, rate: float, decay: float, sync_bn: bool = False) -> tuple:
    teacher = (0.004, 'train', 'torch') if sync_bn else (0.02, 'eman', None)
    return 'lewel_plugins.LARS', batch, rate, decay, *teacher


LEWEL_B = {
    **{f'8xb64-lars-coslr-{epochs}e_in1k': lewel_b_numbers(512, 1.8, 1e-6) for epochs in (100, 200)},
    '8xb64-lars-syncbn-coslr-400e_in1k': lewel_b_numbers(512, 1.8, 1e-6, sync_bn=True),
    '8xb64-lars-coslr-240e_in100': lewel_b_numbers(512, 3.6, 1e-6),
    **{f'8xb128-lars-coslr-{epochs}e_in1k': lewel_b_numbers(1024, 3.6, 1.5e-6) for epochs in (100, 200)},
    '8xb512-lars-syncbn-coslr-400e_in1k': lewel_b_numbers(4096, 7.2, 1e-6, sync_bn=True),
}
LEWEL_M = {
    **{f'8xb32-coslr-{epochs}e_in1k': ('SGD', 256, 0.06, 1e-4, 0.001, 'train', None) for epochs in (100, 200)},
    '8xb32-coslr-240e_in100': ('SGD', 256, 0.12, 1e-4, 0.001, 'train', None),
}
PAIRS = [
    *((f'lewel-b_resnet50_{name}', f'byol_resnet50_{name}', numbers) for name, numbers in LEWEL_B.items()),
    *((f'lewel-m_resnet50_{name}', f'mocov2_resnet50_{name}', numbers) for name, numbers in LEWEL_M.items()),
]


@pytest.mark.parametrize(
    ('recipe', 'baseline', 'numbers'), PAIRS, ids=lambda value: value if type(value) is str else ''
)
def test_lewel_recipe_has_the_numbers_of_the_paper_and_its_baseline_has_them_too(recipe, baseline, numbers):
    cfg = Config.fromfile(str(CONFIGS / f'lewel/{recipe}.py'))
    model, optimizer = cfg.model, cfg.optim_wrapper.optimizer
    teacher = model.momentum, model.get('teacher_norm', 'train'), cfg.get('sync_bn')
    assert (
        optimizer.type,
        cfg.auto_scale_lr.base_batch_size,
        optimizer.lr,
        optimizer.weight_decay,
        *teacher,
    ) == numbers
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper' and optimizer.momentum == 0.9
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    assert [view.crop_scale for view in steps[0].views] == [(0.2, 1.0)] * 2
    if optimizer.type != 'SGD':
        expected = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False)
        assert cfg.optim_wrapper.paramwise_cfg == expected
        assert [(part.type, part.begin, part.end) for part in cfg.param_scheduler] == [
            ('LinearLR', 0, 10),
            ('CosineAnnealingLR', 10, cfg.train_cfg.max_epochs),
        ]
    if 'syncbn' in recipe:  # the papers have no baseline of 400 epochs by this recipe
        return
    twin = Config.fromfile(str(CONFIGS / f'baselines/{baseline}.py'))
    assert twin.model.head.beta == 0 and not twin.model.neck.coupled
    assert twin.model.neck.out_channels == twin.model.neck.num_groups  # one embedding of the pooled feature, no maps
    assert twin.model.neck.alignment == 'uniform'
    twin.model.head.beta = model.head.beta
    for name in ('coupled', 'alignment', 'num_groups'):
        twin.model.neck.pop(name)
    model.neck.pop('num_groups')
    assert twin.to_dict() == cfg.to_dict()


def shrink_smog(cfg: Config) -> None:
    """Shrink network and groups, so that a step takes no time."""
    backbone = cfg.model.backbone
    if backbone.type == 'SwinTransformer':
        backbone.arch = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
        width = 64
    else:
        backbone.base_channels = 8
        if backbone.type != 'lewel_plugins.ResNet10':
            backbone.stem_channels = 8
        width = 8 * 8 * (4 if backbone.get('depth') == 50 else 1)
    cfg.model.neck.update(in_channels=width, hid_channels=16)
    cfg.model.head.update(hid_channels=16, num_groups=6)
    cfg.model.init_cfg = None


@pytest.mark.parametrize('path', SMOG, ids=lambda path: path.stem)
def test_smog_recipe_trains_a_step(path):
    cfg = Config.fromfile(str(path))
    init_default_scope('mmpretrain')
    shrink_smog(cfg)
    model = MODELS.build(cfg.model).train()
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    (hook,) = (HOOKS.build(hook) for hook in cfg.custom_hooks)
    model.before_training()
    model.has_resets = True  # the hook, which needs a Runner, does not run
    model.cache.start(hook.window)
    large = 224 if cfg.model.backbone.type == 'SwinTransformer' else 32  # the only size that fits Swin's windows of 7
    sizes = [large] * 2 + [96] * (model.num_views - 2)
    torch.manual_seed(0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    groups = model.head.groups.rows.clone()
    for step in range(2):
        views = [torch.randn(4, 3, size, size) for size in sizes]
        wrapper.update_params(model.parse_losses(model.loss(views))[0])
        model.after_optimizer_step((step + 1) / 2)
    assert all(v.isfinite().all() for v in model.state_dict().values())
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters() if p.requires_grad)
    assert not torch.equal(model.head.groups.rows, groups)
    model.head.groups.cluster(*model.cache.features(), seed=0)
    model.reset_teacher()


@pytest.mark.parametrize(
    'path',
    [path for path in SMOG if path.stem.endswith(('stl10', 'cifar10', 'scenes')) and path not in LIGHTLY],
    ids=lambda path: path.stem,
)
def test_small_smog_recipes_have_the_ratios_of_the_paper(path):
    images = {'stl10': 100000, 'cifar10': 50000, 'garment-scenes': 8000}[path.stem.rsplit('_')[-1]]
    cfg = Config.fromfile(str(path))
    (hook,) = cfg.custom_hooks
    settings = (hook.interval, cfg.model.momentum, cfg.model.head.num_groups, cfg.model.head.end_beta)
    assert settings == group_schedule(images, cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs)
    assert cfg.model.head.beta == 1 and cfg.train_dataloader.drop_last


@pytest.mark.parametrize('path', [path for path in SMOG if path.stem.endswith('in1k')], ids=lambda path: path.stem)
def test_smog_recipes_have_the_crops_of_their_views(path):
    cfg = Config.fromfile(str(path))
    (views, _) = cfg.train_dataloader.dataset.dataset.pipeline
    areas = {tuple(view.crop_scale) for view in views.views}
    assert areas == ({(0.2, 1.0), (0.05, 0.2)} if 'multicrop' in path.stem else {(0.08, 1.0)})
    if cfg.optim_wrapper.optimizer.type.endswith('LARS'):
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.3 * cfg.auto_scale_lr.base_batch_size / 256)


def shrink_mpcl(cfg: Config) -> None:
    """Shrink a recipe to 32 px, narrow heads and a shallow backbone of its kind."""
    model = cfg.model
    if model.backbone.type == 'MoCoV3ViT':
        arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=64)
        model.backbone.update(arch=arch, img_size=32, patch_size=model.backbone.patch_size)
        model.neck.in_channels = 48
    elif model.backbone.type == 'ResNet':
        model.backbone.update(depth=18)
        model.neck.in_channels = 512
    model.neck.update(hid_channels=32, out_channels=16)
    if 'predictor' in model.head:
        model.head.predictor.update(hid_channels=32)
    if 'queue_len' in model:
        model.queue_len = 64


@pytest.mark.sampled(3)
@pytest.mark.parametrize('path', MPCL, ids=lambda path: path.stem)
def test_mpcl_recipe_trains_a_step(path):
    cfg = Config.fromfile(str(path))
    shrink_mpcl(cfg)
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    model.init_weights()
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    model.before_training()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    on_device = 'views' in cfg.data_preprocessor
    losses = model.train_step(dict(inputs=images if on_device else [images, images.flip(3)], data_samples=[]), wrapper)
    model.after_optimizer_step(0.5)
    assert losses.keys() == {'loss', 'loss_contrastive', 'loss_pcr'}
    assert all(value.isfinite() for value in losses.values())
    assert losses['loss_contrastive'] > 0 and losses['loss_pcr'] != 0
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    heads = {n for n, p in model.named_parameters() if n.startswith(('neck.', 'head.predictor.')) and p.dim() == 3}
    assert heads <= moved and any(name.startswith('backbone.') for name in moved)
    assert ('teacher' in dict(model.named_children())) == any(name.startswith('teacher.') for name in moved)


def test_model_index_names_files_that_exist():
    root = CONFIGS.parent
    metafiles = yaml.safe_load((root / 'model-index.yml').read_text())['Import']
    for metafile in metafiles:
        models = yaml.safe_load((root / metafile).read_text())['Models']
        for model in models:
            assert (root / model['Config']).is_file(), model['Config']


def number_of_views(cfg: Config) -> int:
    if 'views' in cfg.data_preprocessor:
        return len(cfg.data_preprocessor.views)
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    return len(TRANSFORMS.build(steps[0]).make_views.schemes)


def check_msbreg_numbers(cfg: Config, stem: str, data_set: str, K: int) -> None:
    """Check the numbers of Sec. 7 and Table 9 of the paper."""
    model, head, optimizer = cfg.model, cfg.model.head, cfg.optim_wrapper.optimizer
    large = data_set == 'in1k'
    batch = prod(map(int, re.search(r'_(\d+)xb(\d+)-', stem).groups()))
    base = dict(in1k=0.15, in100=0.4, stl10=0.5, cifar10=0.5)[data_set.removesuffix('-64px')]
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert batch == (1024 if '1xb1024' in stem else 256 if '1xb256' in stem else 512)
    assert (cfg.get('num_views', K), cfg.get('base_lr', base)) == (K, base)
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('lewel_plugins.LARS', 0.9, 1e-5)
    assert optimizer.lr == pytest.approx(base * batch / 256 * K)
    assert cfg.optim_wrapper.paramwise_cfg == dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False)
    epochs = int(re.search(r'-(\d+)e_', stem)[1])
    warm_up, cosine = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == epochs and (warm_up.end, cosine.begin) == (10, 10)
    assert (cosine.T_max, cosine.end) == (epochs - 10, epochs)
    assert (model.backbone.depth, model.neck.in_channels) == ((50, 2048) if large else (18, 512))
    widths = (model.neck.hid_channels, model.neck.out_channels, head.hid_channels)
    assert widths == ((2048, 256, 2048) if large else (512, 128, 512))
    assert model.momentum == (0.01 if epochs == 100 else 0.004)
    if 'multicrop' not in stem:
        is_byol = stem.startswith('byol')
        expected = (0.0, 0.0) if is_byol else (4e-3, 5e-3) if '-ln_' in stem else (4e-3, 0.5)
        assert (head.lambda_s, head.lambda_b) == expected
        assert (head.get('exclude_self', False), head.get('lambda_c', 1.0)) == (is_byol, 2.0 if is_byol else 1.0)
        assert model.neck.get('norm', 'BN') == ('LN' if '-ln_' in stem else 'BN')
    assert cfg.view.get('solarize') == 0.2 and cfg.view.get('blur', 0.0) == (0.0 if data_set == 'cifar10' else 1.0)
    assert cfg.get('sync_bn') == ('torch' if '8xb64' in stem else None)


@pytest.mark.sampled(4)
@pytest.mark.parametrize('path', MSBREG, ids=lambda path: path.stem)
def test_msbreg_recipe_makes_its_views_and_trains_a_step(path):
    cfg = Config.fromfile(str(path))
    K = 8 if 'multicrop' in path.stem else int(re.search(r'-k(\d)', path.stem)[1])
    assert number_of_views(cfg) == K
    check_num_views(cfg)
    data_set = path.stem.rsplit('_')[-1]
    if '_resnet10_' not in path.stem and path not in LIGHTLY:
        check_msbreg_numbers(cfg, path.stem, data_set, 2 if 'multicrop' in path.stem else K)
    for step in cfg.train_dataloader.dataset.dataset.pipeline:
        TRANSFORMS.build(step)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    losses = model.loss([torch.randn(2, 3, 32, 32) for _ in range(K)])
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    'path',
    [path for path in RECIPES if re.match(r'(lewel-m|mpcl-mocov2)_.*_1xb', path.stem)],
    ids=lambda path: path.stem,
)
def test_recipe_of_one_process_says_what_its_batch_norm_can_give_away(path):
    assert 'ShuffleBN needs several ranks' in path.read_text(encoding='utf-8').partition('_base_ =')[0]


def test_baselines_of_lewel_with_resnet50_are_lewel_and_all_others_mmpretrains():
    for path in (path for path in RECIPES if path.parent.name == 'baselines'):
        model = Config.fromfile(path).model
        if '_resnet50_' in path.stem:
            expected = dict(byol='lewel_plugins.LEWELB', mocov2='lewel_plugins.LEWELM')[path.stem.partition('_')[0]]
            assert (model.type, model.head.beta) == (expected, 0.0)
        else:
            own = ('lewel_plugins.ConstantBYOL', 'lewel_plugins.SymmetricMoCo') if path in LIGHTLY else ()
            assert model.type in ('BYOL', 'MoCo', 'MoCoV3', 'BarlowTwins', *own)
    text = (CONFIGS / 'baselines' / 'README.md').read_text(encoding='utf-8')
    assert 'With ResNet-50, BYOL and MoCo v2 are LEWEL_B and LEWEL_M with β = 0' in text


def test_every_method_and_baseline_has_cifar_recipes_of_three_lengths():
    lengths: dict[str, set[int]] = {}
    for path in CIFAR:
        name, epochs = re.fullmatch(r'(.+)_resnet18_1xb\d+(?:-lars)?-coslr-(\d+)e_cifar10', path.stem).groups()
        lengths.setdefault(f'{path.parent.name}/{name}', set()).add(int(epochs))
    names = ('lewel/lewel-m', 'lewel/lewel-b', 'smog/smog', 'msbreg/msbreg-k4')
    names += tuple(f'mpcl/mpcl-{base}' for base in ('mocov2', 'mocov3', 'barlowtwins'))
    names += tuple(f'baselines/{base}' for base in ('byol', 'mocov2', 'mocov3', 'barlowtwins'))
    assert set(lengths) >= set(names)
    assert all(lengths[name] >= {100, 200, 800} for name in names)


def unlike(cfg: Config, other: Config) -> set[str]:
    """Return the entries in which two configs differ."""
    return {name for name in {*cfg, *other} if cfg.get(name) != other.get(name)}


@pytest.mark.parametrize('path', CIFAR, ids=lambda path: path.stem)
def test_cifar_recipes_of_a_method_differ_in_length_alone(path):
    cfg = Config.fromfile(str(path))
    sibling = next(other for other in CIFAR if re.sub(r'\d+e_', '', other.stem) == re.sub(r'\d+e_', '', path.stem))
    settings = {'smog': {'model', 'custom_hooks'}, 'msbreg': {'model'}}.get(path.parent.name, set())
    assert unlike(cfg, Config.fromfile(str(sibling))) <= {'param_scheduler', 'train_cfg'} | settings


def test_small_cifar_recipes_share_data_optimizer_and_schedule():
    configs = {path.stem: Config.fromfile(str(path)) for path in SMALL}
    reference = configs['mocov2_resnet10_1xb128-10e_cifar10']
    for stem, cfg in configs.items():
        own = {'model', 'data_preprocessor', 'custom_hooks'}
        if stem.startswith('msbreg'):  # its loss diverges with the optimizer of the others
            lars = dict(type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6)
            assert cfg.optim_wrapper == dict(reference.optim_wrapper, optimizer=lars)
            own.add('optim_wrapper')
        assert unlike(cfg, reference) <= own
        assert ('custom_hooks' in cfg) == stem.startswith(('smog', 'mpcl'))
        assert all(view == reference.views[0] for view in cfg.data_preprocessor.views if view.size == 32)


@pytest.mark.sampled(4)
@pytest.mark.parametrize('path', CIFAR + SMALL, ids=lambda path: path.stem)
def test_cifar_recipe_trains_two_steps(path):
    cfg = Config.fromfile(str(path))
    cfg.model.backbone.base_channels = 8  # an eighth of the width, or half of it
    if path in CIFAR:
        cfg.model.backbone.stem_channels = 8
    cfg.model.neck.in_channels = 64
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    model.init_weights()
    wrapper_cfg = {k: v for k, v in cfg.optim_wrapper.items() if k not in ('dtype', 'loss_scale')}
    wrapper = build_optim_wrapper(model, ConfigDict(wrapper_cfg, type='OptimWrapper'))
    if path.parent.name == 'baselines':  # mmpretrain's teachers read their schedule from there
        for name, value in (('max_iters', 2), ('iter', 0)):
            MessageHub.get_current_instance().update_info(name, value)
    else:
        getattr(model, 'before_training', lambda: None)()
        if 'smog' in path.stem:
            model.cache.start(cfg.custom_hooks[0].interval)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step in range(2):
        images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
        losses = model.train_step(dict(inputs=images, data_samples=[]), wrapper)
        assert all(value.isfinite() for value in losses.values())
        getattr(model, 'after_optimizer_step', lambda _: None)((step + 1) / 2)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    still = [n for n, p in model.named_parameters() if n.startswith('backbone.') and torch.equal(p, before[n])]
    assert not still
