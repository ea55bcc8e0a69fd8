"""Weights that come with the package: each that is there, and, on a stand-in, the way from a training to a release."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.released import check_release, images
from helpers.tool_runs import ROOT
from PIL import Image

import lewel_plugins
from lewel_plugins.checkpoints import build_model, config_of, read_safetensors, read_tensors, released
from lewel_plugins.comparison.report import write_report
from lewel_plugins.comparison.run import plan_runs
from lewel_plugins.comparison.spec import load_comparison
from lewel_plugins.datasets import CIFAR10
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import preprocessed_images
from lewel_plugins.running import setup
from lewel_plugins.running.work_dir import last_checkpoint

RECIPE = ROOT / 'configs/lewel/lewel-b_resnet10_1xb128-10e_cifar10.py'
NAME = 'lewel-b_resnet10_stand-in'
LOADERS = ('train_dataloader', 'val_dataloader', 'val_cfg.bank_dataloader')
COMPARISON = """
name = 'stand-in'
rows = [dict(name='LEWEL_B', config={recipe!r}, options={options!r})]
seeds = [0]
metrics = [dict(key='knn/top1_k5', label='5-NN, %', digits=1)]
"""

spec = importlib.util.spec_from_file_location('release_weights', ROOT / 'tools/development/release_weights.py')
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.mark.core
@pytest.mark.parametrize('file', [pytest.param(f, id=f.stem) for f in sorted(released.FOLDER.glob('*.safetensors'))])
def test_committed_weights(file):
    check_release(file)
    assert file.stem in lewel_plugins.list_pretrained()
    lewel_plugins.load_pretrained(file.stem)


@pytest.mark.core
def test_the_folder_holds_nothing_else():
    weights = {path.stem for path in released.FOLDER.glob('*.safetensors')}
    others = {path.name for path in released.FOLDER.iterdir() if path.suffix != '.safetensors'}
    assert others == {'README.md', *(f'{name}.md' for name in weights)}


@pytest.mark.parametrize('card', [pytest.param(f, id=f.stem) for f in sorted(released.FOLDER.glob('*_*.md'))])
def test_committed_cards_have_the_figures_of_today(card):
    """Further seeds change them: release_weights.py --figures writes them anew."""
    text = card.read_text()
    name = re.search('From the comparison `(.+?)`', text)[1]
    row, seed = re.search(r'^\| method \| (.+) \(`', text, re.MULTILINE)[1], re.search(r'\| seed \| (\d+)', text)[1]
    comparison = load_comparison(ROOT / 'configs' / 'comparisons' / f'{name}.py')
    report = ROOT / 'docs' / 'results' / f'{name}.json'
    run = SimpleNamespace(row=SimpleNamespace(name=row), seed=int(seed))
    assert tool.figures_table(tool.Source(card, comparison, run, json.loads(report.read_text()), report)) in text


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Train the recipe for three steps on noise."""
    folder = tmp_path_factory.mktemp('release')
    rng = np.random.default_rng(0)
    for split, count in (('train', 5), ('test', 1)):
        for name in CIFAR10.METAINFO['classes']:
            (folder / 'data' / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(folder / 'data' / split / name / f'{i}.jpg')
    options = {
        **{f'{loader}.num_workers': 0 for loader in LOADERS},
        **{f'{loader}.persistent_workers': False for loader in LOADERS},
        **{f'{loader}.dataset.data_root': str(folder / 'data') for loader in LOADERS[1:]},
        'train_dataloader.dataset.dataset.data_root': str(folder / 'data'),
        'train_dataloader.batch_size': 16,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'val_evaluator.0.k': (5,),
    }
    (folder / 'stand_in.py').write_text(COMPARISON.format(recipe=str(RECIPE), options=options))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare()
    return folder


def compare() -> None:
    """Train and report as tools/compare.py does, but in this process, which is much faster."""
    comparison = load_comparison('stand_in.py')
    (run,) = plan_runs(comparison, [0], Path('runs'), ROOT / 'tools' / 'train.py')
    run.prepare()
    run.config.work_dir = str(run.work_dir)
    setup.prepare(run.config, 'none')
    setup.build_runner(run.config).train()
    run.steps[0].finish()
    run.write_sessions([dict(commit='abc1234', machine='a processor', start='2026-01-31 12:00:00 UTC', seconds=120.0)])
    write_report(comparison, [0], [run], 'python tools/compare.py stand_in.py', Path('results'))


def release(out: Path) -> Path:
    """Release the stand-in, whose runs are in the working directory, to a folder."""
    options = ('--results', 'results.json', '--work-dir', 'runs', '--out', str(out), '--name', NAME)
    tool.main(['stand_in.py', '--row', 'LEWEL_B', *options])
    return out / f'{NAME}.safetensors'


@pytest.fixture(scope='module')
def original(folder) -> Path:
    """Release the stand-in once, because an export takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return release(folder / 'weights').resolve()


@pytest.fixture
def file(folder, original, tmp_path, monkeypatch) -> Path:
    """Return a copy of the released file, with its card, in a folder that stands in for that of the package."""
    monkeypatch.chdir(folder)
    shutil.copytree(original.parent, tmp_path / 'weights')
    monkeypatch.setattr(released, 'FOLDER', tmp_path / 'weights')
    return tmp_path / 'weights' / original.name


@torch.no_grad()
def test_a_released_network_computes_the_features_of_its_training(folder, file):
    check_release(file)
    assert lewel_plugins.list_pretrained() == [NAME]
    (work_dir,) = (folder / 'runs' / 'LEWEL_B').iterdir()
    path = last_checkpoint(work_dir)
    content = read_tensors(path)
    model = build_model(config_of(content, path), content, path)
    backbone = lewel_plugins.load_pretrained(NAME)
    x = images(32)
    bgr = dict(inputs=x.flip(1), data_samples=None)  # in the order of OpenMMLab's pipelines
    # LEWEL trains in channels_last, in which convolutions add in another order and round otherwise.
    model.backbone.to(memory_format=torch.contiguous_format)
    expected = model.backbone(preprocessed_images(model, bgr))
    assert torch.equal(backbone(backbone.preprocess(x))[-1], expected[-1])


def test_a_second_release_has_the_same_bytes(file, tmp_path):
    again = release(tmp_path / 'again')
    for suffix in ('.safetensors', '.md'):
        assert again.with_suffix(suffix).read_bytes() == file.with_suffix(suffix).read_bytes()


def test_the_card_says_where_the_weights_come_from(file):
    card = file.with_suffix('.md').read_text()
    for text in (
        f'| recipe | `{RECIPE.relative_to(ROOT)}` |',
        '`train_dataloader.batch_size=16`',
        '| method | LEWEL_B (`lewel_plugins.LEWELB`) |',
        '| seed | 0 |',
        '| length | 1 epoch, 2 minutes with validations |',
        '| commit | abc1234 |',
        '| machine | a processor |',
        '| command | `python tools/compare.py stand_in.py --seeds 0 --only LEWEL_B` |',
        'CIFAR-10 has no formal license',
        'encoded as JPEG',
        '| 5-NN, % | ',
        "checkpoint='lewel_plugins://lewel-b_resnet10_stand-in'",
    ):
        assert text in card
    assert 'None' not in card and '{' not in card
    namespace: dict = dict(images=images(32))
    code = card.split('```python\n')[1].split('```')[0]
    exec(code, namespace)
    assert namespace['features'].shape == (4, 128)


def test_figures_are_written_anew_without_a_checkpoint(file):
    card = file.with_suffix('.md')
    original = card.read_text()
    options = ['--row', 'LEWEL_B', '--results', 'results.json', '--work-dir', 'runs', '--name', NAME, '--figures']
    file.unlink()
    card.write_text(re.sub(r'\| 5-NN, % .*', '| 5-NN, % | 0.0 | 0.0 (9) |', original))
    assert card.read_text() != original
    tool.main(['stand_in.py', *options, '--out', str(file.parent)])
    assert card.read_text() == original
    damage_recipe(file)
    with pytest.raises(SetupError, match=r'\.md is no card with the line .* recipe '):
        tool.main(['stand_in.py', *options, '--out', str(file.parent)])


def damage_digest(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b'\x07')


def damage_recipe(file: Path) -> None:
    card = file.with_suffix('.md')
    card.write_text(card.read_text().replace('lewel-b_resnet10_1xb128', 'lewel-b_resnet11_1xb128'))


def damage_size(file: Path) -> None:
    file.write_bytes(bytes(2_000_001))


@pytest.mark.parametrize('damage', [damage_digest, damage_recipe, damage_size])
def test_the_check_of_committed_weights_fails_on_damage(file, damage):
    damage(file)
    with pytest.raises(AssertionError):
        check_release(file)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--row', 'BYOL'], "trains no row 'BYOL'; rows are LEWEL_B"),
        (['--row', 'LEWEL_B', '--seed', '3'], '--seed 3: results.json has the seeds 0'),
        (['--row', 'LEWEL_B', '--results', 'none.json'], 'none.json does not exist'),
        (['--row', 'LEWEL_B', '--work-dir', 'other'], 'has not finished, or had another recipe'),
    ],
)
def test_what_is_missing_is_named(folder, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(folder)
    defaults = {'--results': 'results.json', '--work-dir': 'runs', '--out': str(tmp_path), '--name': NAME}
    others = [word for name, value in defaults.items() if name not in words for word in (name, value)]
    with pytest.raises(SetupError, match=message):
        tool.main(['stand_in.py', *words, *others])
    assert not list(tmp_path.iterdir())


def test_figures_of_another_run_are_refused(folder, tmp_path, monkeypatch):
    for name in ('runs', 'data'):
        (tmp_path / name).symlink_to(folder / name)
    shutil.copy(folder / 'stand_in.py', tmp_path)
    results = json.loads((folder / 'results.json').read_text())
    results['rows'][0]['values']['0']['knn/top1_k5'] += 1
    (tmp_path / 'results.json').write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r'results.json has other figures than the run .*knn/top1_k5'):
        release(tmp_path / 'weights')
    assert not (tmp_path / 'weights').exists()


def test_large_networks_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tool, 'MAX_BYTES', 1000)
    with pytest.raises(SetupError, match='bytes, and weights may have 1,000'):
        release(tmp_path / 'weights')
    assert not (tmp_path / 'weights').exists()


def test_tools_and_init_cfg_take_the_name(file, tmp_path):
    """``lewel_plugins://NAME`` is a CHECKPOINT; mmengine reads it for any module of a config."""
    from mmengine.model import initialize
    from mmengine.registry import MODELS

    backbone = MODELS.build(dict(type='lewel_plugins.ResNet10'))
    initialize(backbone, dict(type='Pretrained', checkpoint=f'lewel_plugins://{NAME}', prefix='backbone.'))
    tensors, _ = read_safetensors(file)
    assert all(torch.equal(tensors[f'backbone.{name}'], value) for name, value in backbone.state_dict().items())
