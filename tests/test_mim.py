"""Installation and training through MIM, in a throw-away environment.

onedl-mim works with ``mim install -e .`` and openmim with ``mim install .``: see docs/install.md.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from helpers.tool_runs import write_lewel_config

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = 'lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py'


def _has(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


FORM = ['--editable', '.'] if _has('onedl-mim') else ['.']


@pytest.fixture(scope='module')
def clone(tmp_path_factory) -> Path:
    """Copy the files that an installation needs."""
    clone = tmp_path_factory.mktemp('mim') / 'clone'
    clone.mkdir()
    for source in ('lewel_plugins', 'configs', 'tools', 'requirements'):
        shutil.copytree(ROOT / source, clone / source, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for source in ('setup.py', 'setup.cfg', 'MANIFEST.in', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / source, clone)
    return clone


@pytest.fixture(scope='module')
def python(clone) -> Path:
    """Return the interpreter of an environment with lewel_plugins installed, and with the packages of this one."""
    home = clone.parent / 'env'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', home], check=True)
    python = home / 'bin' / 'python'
    packages = sysconfig.get_path('purelib', vars=dict(base=str(home)))
    Path(packages, 'parent.pth').write_text(sysconfig.get_path('purelib') + '\n')
    offline = ['--no-index', '--no-deps', '--no-build-isolation']
    installed = _run(python, '-m', 'mim', 'install', *offline, *FORM, cwd=clone)
    assert installed.returncode == 0, installed.stdout[-4000:]
    return python


def _run(*command, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Without PYTHONPATH, the package can only come from the installation. The toy data set is beside the config.
    env = dict(PATH='/usr/bin:/bin', OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT / 'tests'), HOME=str(cwd))
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _mim_train(python: Path, *arguments: str, cwd: Path) -> str:
    return _run(python, '-m', 'mim', 'train', *arguments, cwd=cwd).stdout


@pytest.mark.mim
@pytest.mark.parametrize('package', ['lewel_plugins', 'mmpretrain'])
def test_mim_train(python, tmp_path, package):
    write_lewel_config(tmp_path / 'toy.py')
    out = _mim_train(python, package, 'toy.py', '--work-dir', 'run', cwd=tmp_path)
    assert 'Training finished successfully' in out, out
    assert 'loss_aligned' in out
    assert (tmp_path / 'run' / 'iter_2.pth').is_file()


@pytest.mark.mim
def test_mim_finds_our_configs_by_name(python, clone, tmp_path):
    out = _mim_train(python, 'lewel_plugins', SHIPPED, cwd=tmp_path)
    assert 'we find the config file in codebase lewel_plugins' in out, out
    # Our tools/train.py has read it, and there is no ImageNet.
    assert "error: train_dataloader.dataset.dataset.data_root is 'data/imagenet', which is not a folder" in out, out


@pytest.mark.mim
def test_legacy_develop_links_mims_files(clone, tmp_path):
    """Install as an old pip does for ``pip install -e .``, which openmim needs."""
    setuptools = distribution('setuptools').version
    if int(setuptools.split('.')[0]) >= 80:
        pytest.skip(f'setuptools {setuptools} has no legacy develop command')
    copy = tmp_path / 'clone'
    shutil.copytree(clone, copy)
    result = _run(sys.executable, 'setup.py', 'egg_info', 'develop', '--install-dir', tmp_path, '--no-deps', cwd=copy)
    mim = copy / 'lewel_plugins' / '.mim'
    assert (mim / 'tools').resolve() == copy / 'tools', result.stdout
    assert (mim / 'configs').resolve() == copy / 'configs'
    assert (mim / 'model-index.yml').read_text() == (copy / 'model-index.yml').read_text()


@pytest.mark.mim
def test_wheel_holds_the_tools_the_weights_and_the_present_configs(clone, tmp_path):
    copy = tmp_path / 'clone'
    shutil.copytree(clone, copy)
    (copy / 'configs' / 'old.py').write_text('a = 1\n')
    for name in ('new.safetensors', 'new.md'):
        (copy / 'lewel_plugins' / 'weights' / name).write_text('')
    build = [sys.executable, 'setup.py', '--quiet', 'build', '--build-base', str(tmp_path / 'build')]
    built = tmp_path / 'build' / 'lib' / 'lewel_plugins' / '.mim'
    assert _run(*build, cwd=copy).returncode == 0
    assert (built / 'configs' / 'old.py').is_file()
    # The build folder must not keep a renamed config, which MIM would find.
    (copy / 'configs' / 'old.py').rename(copy / 'configs' / 'new.py')
    assert _run(*build, cwd=copy).returncode == 0
    for room in ('configs', 'tools'):
        expected = {path.relative_to(copy) for path in (copy / room).rglob('*') if '__pycache__' not in path.parts}
        assert {path.relative_to(built) for path in (built / room).rglob('*')} == expected
    assert (built / 'model-index.yml').is_file()
    weights = {path.name for path in (copy / 'lewel_plugins' / 'weights').iterdir()}
    assert {'README.md', 'new.safetensors', 'new.md'} <= weights
    assert {path.name for path in (built.parent / 'weights').iterdir()} == weights


@pytest.mark.core
def test_model_index_names_configs_that_exist():
    models = []
    for metafile in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        models += yaml.safe_load((ROOT / metafile).read_text())['Models']
    assert models
    for model in models:
        assert (ROOT / model['Config']).is_file(), model['Config']
        assert Path(model['Config']).stem == model['Name']
        # Figures of the papers and our own are kept apart. A paper does not have a figure for every recipe.
        metrics = {name: value for result in model.get('Results', ()) for name, value in result['Metrics'].items()}
        measured = [name for name in metrics if name.startswith('Measured ')]
        assert all(name.startswith(('Paper ', 'Measured ')) for name in metrics), metrics
        assert not measured or {'Command', 'Seeds', 'Commit', 'Machine'} <= model['Metadata'].keys()


@pytest.mark.core
def test_measured_figures_are_those_of_the_results():
    results = json.loads((ROOT / 'docs' / 'results' / 'all-methods_garment-scenes.json').read_text())
    rows = {row['name']: row['summary'] for row in results['rows']}
    names = {
        'k-NN Classification': 'knn/top1_k20',
        'Linear Classification': 'linear/top1',
        'garment scenes 1 %': 'semi_1pct/top1',
        'garment scenes 10 %': 'semi_10pct/top1',
        'Object Detection': 'mask_rcnn/coco/bbox_mAP',
        'Instance Segmentation': 'mask_rcnn/coco/segm_mAP',
        'Semantic Segmentation': 'fcn/mIoU',
    }
    seen = 0
    for metafile in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']:
            for result in model.get('Results', ()) if 'Row' in model['Metadata'] else ():
                assert model['Metadata']['Seeds'] == results['seeds']
                key = names.get(result['Task']) or names[result['Dataset']]
                for name, value in result['Metrics'].items():
                    suffix = {'AP50': '_50', 'AP75': '_75'}.get(name.split()[-1], '')
                    mean = rows[model['Metadata']['Row']][f'evaluation/{key}{suffix}']['mean']
                    assert value == pytest.approx(mean, abs=0.0501 if value > 1 else 0.000501), (model['Name'], name)
                    seen += 1
    assert seen == 63  # five methods and two baselines


@pytest.mark.core
def test_names_of_configs_are_unique():
    """MIM finds a config by its name alone."""
    rooms = [room for room in (ROOT / 'configs').iterdir() if room.is_dir() and room.name != '_base_']
    names = [path.name for room in rooms for path in room.rglob('*.py')]
    assert SHIPPED in names
    assert sorted(set(names)) == sorted(names)
