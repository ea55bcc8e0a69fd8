"""The commit that results name."""

import subprocess

import pytest

from lewel_plugins.running import provenance

pytestmark = pytest.mark.core


def git(folder, *arguments):
    identity = ('-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false')
    subprocess.run(['git', '-C', str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Pretend that the package is in a repository of two files."""
    for name in ('lewel_plugins', 'configs', 'tools', 'docs', 'tests'):
        (tmp_path / name).mkdir()
    (tmp_path / 'lewel_plugins' / 'model.py').write_text('a = 1\n')
    (tmp_path / '.gitignore').write_text('__pycache__/\n')
    git(tmp_path, 'init')
    git(tmp_path, 'config', 'status.showUntrackedFiles', 'no')  # a setting that some have in their own git config
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-m', 'first')
    monkeypatch.setattr(provenance, 'ROOT', tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'name', ['lewel_plugins/model.py', 'lewel_plugins/new.py', 'configs/new/recipe.py', 'tools/a.py']
)
def test_changed_and_new_sources_are_dirty(checkout, name):
    clean = provenance.commit()
    assert clean and not clean.endswith('-dirty')
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text('a = 2\n')
    assert provenance.commit() == f'{clean}-dirty'


@pytest.mark.parametrize(
    'name', ['docs/results.md', 'tests/test_new.py', 'work_dirs/run.log', 'tools/__pycache__/a.pyc']
)
def test_results_tests_and_ignored_files_are_not(checkout, name):
    clean = provenance.commit()
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text('a = 2\n')
    assert provenance.commit() == clean
