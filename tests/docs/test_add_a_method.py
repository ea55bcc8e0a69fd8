"""The code blocks and commands of the tutorial work: SimSiam trains, resumes, and equals the equations of the paper."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import references as naive
from helpers import tiny
from helpers.pretraining import different
from helpers.ranks import on_ranks
from helpers.tool_runs import ROOT, environment, run
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from torch import Tensor, nn

from lewel_plugins.checkpoints import backbone_config, build_backbone, load_backbone, read_tensors
from lewel_plugins.hooks import RegularizerHook

PAGE = ROOT / 'docs' / 'tutorials' / 'add-a-method.md'
TEXT = PAGE.read_text(encoding='utf-8')
FILES = dict(re.findall(r'^`(projects/\S+\.py)`\n\n```python\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r'^```sh\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL)
SCENES, OWN = (name for name in FILES if 'resnet' in name)
IN_PROCESS = ('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False')


@pytest.fixture(scope='module')
def clone(tmp_path_factory) -> Iterator[Path]:
    """Make a folder like a clone, with the files of the page, which can be imported."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'lewel_plugins', 'data/fashion_mnist'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    for name, code in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


def write_images(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f'{i}.png')


def follow(command: str, clone: Path, *options: str) -> str:
    """Run a command of the page with more options, and return its output."""
    command = re.sub(r'\bpython\b', sys.executable, command.strip())
    result = subprocess.run(
        ['bash', '-c', ' '.join([command, *options])],
        cwd=clone,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


# The text of the page


def test_the_page_has_a_head_an_algorithm_and_recipes():
    assert [Path(name).name for name in FILES if name not in (SCENES, OWN)] == ['simsiam_head.py', 'simsiam.py']
    assert len(COMMANDS) == 2 and 'garment-scenes' in SCENES and 'image-folder' in OWN
    for number, code in enumerate(FILES.values()):
        compile(code, f'block {number}', 'exec')


def test_links_and_tools_of_the_page_exist():
    links = [link for link in re.findall(r'\]\(([^)]+)\)', TEXT) if not link.startswith('#')]
    assert links and all((PAGE.parent / link).exists() for link in links)
    paths = re.findall(r'\b((?:tools|configs|lewel_plugins)/[\w./-]+\.(?:py|sh))', TEXT.replace('../', ''))
    assert len(set(paths)) > 8 and [path for path in paths if not (ROOT / path).exists()] == []


# The recipes


def test_the_scenes_train_and_resume(clone):
    """Epochs of three iterations end with k-NN, and a resume from the first epoch ends with the same state."""
    make, train = COMMANDS[0].strip().splitlines()
    follow(make, clone, '--num-train 200 --num-val 10')
    options = ['--cfg-options', *IN_PROCESS, 'train_cfg.max_epochs=2', 'train_cfg.val_interval=1']
    options += ['default_hooks.checkpoint.interval=1', 'default_hooks.checkpoint.max_keep_ckpts=5']
    options += ['default_hooks.logger.interval=1', 'default_hooks.monitor.interval=1']
    for loader in ('val_dataloader', 'val_cfg.bank_dataloader'):
        options += [f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']
    printed = follow(train, clone, *options)
    work_dir = clone / 'work_dirs' / Path(SCENES).stem
    losses = [float(value) for value in re.findall(r'Epoch\(train\).* loss: (-?[\d.]+)', printed)]
    assert len(losses) == 6 and all(-1 <= loss < 1 for loss in losses)
    assert len(re.findall(r'Epoch\(val\).*knn/top1_k20', printed)) == 2 and 'rank_me' in printed and ' std: ' in printed

    follow(train, clone, '--resume', str(work_dir / 'epoch_1.pth'), '--work-dir', 'resumed', *options)
    first, second = (torch.load(folder / 'epoch_2.pth', weights_only=False) for folder in (work_dir, clone / 'resumed'))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert not different(first[part], second[part])
    before = read_tensors(work_dir / 'epoch_1.pth')['state_dict']
    assert all(not torch.equal(value, first['state_dict'][name]) for name, value in before.items() if 'weight' in name)

    path = str(work_dir / 'epoch_2.pth')
    backbone = build_backbone(backbone_config(read_tensors(path), path), path)  # without the page's modules
    assert load_backbone(backbone, path) == len(backbone.state_dict())
    (export,) = re.findall(r'`(PYTHONPATH.*export_backbone.*)`', TEXT)
    follow(export.replace('CHECKPOINT', path).replace('CONFIG', SCENES).replace('FILE', 'exported.pth'), clone)
    exported = read_tensors(clone / 'exported.pth')['state_dict']
    assert all(torch.equal(value, exported[f'backbone.{name}']) for name, value in backbone.state_dict().items())


def test_a_folder_of_images_trains(clone):
    write_images(clone / 'images' / 'deep', 4, (60, 80))
    command = COMMANDS[1].replace('/my/images', 'images')
    options = [
        *IN_PROCESS,
        'train_dataloader.batch_size=2',
        'train_cfg.max_epochs=1',
        'default_hooks.logger.interval=1',
    ]
    printed = follow(command, clone, *options, 'param_scheduler=[]')
    assert len(re.findall(r'Epoch\(train\).* loss: -?[\d.]+', printed)) == 2


def test_the_recipe_can_be_printed(clone):
    result = run(sys.executable, 'tools/print_config.py', SCENES, cwd=clone, PYTHONPATH=str(clone))
    assert result.returncode == 0 and 'lewel_plugins.SimSiamHead' in result.stdout, result.stdout


# The equations


def tiny_model(clone: Path) -> nn.Module:
    """Build the model of the page on a backbone of one convolution, in float64."""
    for name in ('simsiam', 'simsiam_head'):
        import_module(f'projects.simsiam.{name}')
    model = MODELS.build(
        dict(
            type='lewel_plugins.SimSiam',
            backbone=tiny.backbone_config(),
            neck=tiny.smog_neck_config(),
            head=dict(type='lewel_plugins.SimSiamHead', hid_channels=3),
            # In full, because an earlier test may have left the scope of mmseg.
            data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
        )
    )
    return tiny.randomize(model.double())


def naive_simsiam(model: nn.Module, views: list[Tensor], stop_gradient: bool = True) -> Tensor:
    """Chen and He, Eqs. 1 to 4, image by image."""

    def embed(x: Tensor) -> Tensor:
        pooled = torch.stack([naive.pooled(feature) for feature in model.backbone(x)[0]])
        return tiny.naive_smog_head(model.neck.g, pooled, 'relu')

    def distance(p: Tensor, z: Tensor) -> Tensor:
        z = z.detach() if stop_gradient else z
        return sum((-naive.cosine(p[n], z[n]) for n in range(len(p))), p.new_zeros(())) / len(p)

    z1, z2 = (embed(x) for x in views)
    p1, p2 = (naive.mlp(z, list(model.head.predictor.parameters())) for z in (z1, z2))
    return distance(p1, z2) / 2 + distance(p2, z1) / 2


@pytest.mark.parametrize('seed', range(3))
def test_loss_and_gradient_are_those_of_the_paper(clone, seed):
    model, views = tiny_model(clone), tiny.images(5, seed=seed)
    (ours,) = model.loss(views).values()
    expected = naive_simsiam(model, views)
    assert ours.item() == pytest.approx(expected.item(), abs=1e-12)
    gradients = tiny.gradients(ours, model), tiny.gradients(expected, model)
    assert naive.largest_difference(*gradients) < 1e-10
    assert all(gradient.abs().max() > 1e-9 for gradient in gradients[0][:1])
    (through,) = [naive_simsiam(model, views, stop_gradient=False)]
    assert naive.largest_difference(gradients[0], tiny.gradients(through, model)) > 1e-4


def test_a_wrong_number_of_views_and_a_wrong_width_are_refused(clone):
    model = tiny_model(clone)
    with pytest.raises(ValueError, match='SimSiam takes a list of 2 views .* got 3 views'):
        model.loss(tiny.images(views=3))
    with pytest.raises(ValueError, match='head.in_channels = 7'):
        MODELS.build(
            dict(
                type='lewel_plugins.SimSiam',
                backbone=tiny.backbone_config(),
                neck=tiny.smog_neck_config(),
                head=dict(type='lewel_plugins.SimSiamHead', hid_channels=3, in_channels=7),
                data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'),
            )
        )


def test_msbregs_regularizers_can_be_added(clone):
    model = tiny_model(clone).float()
    hook = RegularizerHook('head.predictor', [dict(type='lewel_plugins.SingularValueLoss')])
    hook.attach(model)
    losses = model([view.float() for view in tiny.images()], mode='loss')
    assert losses.keys() == {'loss', 'loss_singular'}


def train_step(rank: int, clone: Path) -> dict[str, Tensor]:
    sys.path.insert(0, str(clone))
    model = tiny_model(clone)
    model.before_training()
    model.loss(tiny.images(seed=rank))
    own = {name: value.clone() for name, value in model.state_dict().items() if 'running' in name}
    model.after_optimizer_step(0.5)
    return dict(own=own, averaged={name: model.state_dict()[name] for name in own})


def test_statistics_are_averaged_over_ranks(clone, tmp_path):
    first, second = on_ranks(2, tmp_path, train_step, clone)
    assert len(first['own']) == 8  # mean and variance of four norms
    for name, value in first['averaged'].items():
        assert torch.equal(value, second['averaged'][name])
        assert torch.allclose(value, (first['own'][name] + second['own'][name]) / 2)
        assert not torch.equal(first['own'][name], second['own'][name])


def test_recipes_state_no_width_twice():
    for name in (SCENES, OWN):
        model = Config.fromstring(re.sub(r'_base_ = \[.*?\]', '', FILES[name], flags=re.DOTALL), '.py').model
        assert model.head.keys() == {'type', 'hid_channels'}
