"""Cores and memory follow the bounds that a container, a service or Slurm sets."""

import os

import pytest

from lewel_plugins.running import resources

pytestmark = pytest.mark.core


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write control groups: the lines of ``/proc/self/cgroup``, and files below ``/sys/fs/cgroup``."""
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(os, 'sysconf', lambda name: {'SC_PHYS_PAGES': 2**24, 'SC_PAGE_SIZE': 4096}[name])
    monkeypatch.setattr(resources, '_GROUPS', tmp_path / 'self')
    monkeypatch.setattr(resources, '_MOUNT', tmp_path)

    def write(lines: str, **files: str) -> None:
        (tmp_path / 'self').write_text(lines)
        for name, content in files.items():
            path = tmp_path / name.replace('__', '/').replace('_DOT_', '.')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


def test_without_groups_all_is_free(groups):
    assert resources.cores({}) == 16 and resources.memory() == 2**36
    groups('0::/\n', cpu_DOT_max='max 100000\n', memory_DOT_max='max\n')
    assert resources.cores({}) == 16 and resources.memory() == 2**36


@pytest.mark.parametrize('quota, expected', [('400000 100000', 4), ('150000 100000', 1), ('50000 100000', 1)])
def test_the_quota_of_a_group_bounds_cores(groups, quota, expected):
    groups('0::/a/b\n', a__b__cpu_DOT_max='max 100000', a__cpu_DOT_max=quota, a__memory_DOT_max='1000')
    assert resources.cores({}) == expected and resources.memory() == 1000


def test_a_container_sees_its_group_at_the_root(groups):
    groups('0::/the/path/on/the/host\n', cpu_DOT_max='300000 100000\n', memory_DOT_max='2000\n')
    assert resources.cores({}) == 3 and resources.memory() == 2000


def test_groups_of_the_first_version(groups):
    folder = 'cpu,cpuacct__job__cpu_DOT_cfs_'
    files = {f'{folder}quota_us': '200000\n', f'{folder}period_us': '100000\n'}
    groups('5:cpu,cpuacct:/job\n4:memory:/job\n', **files, memory__job__memory_DOT_limit_in_bytes='3000\n')
    assert resources.cores({}) == 2 and resources.memory() == 3000
    groups('5:cpu,cpuacct:/job\n', **{f'{folder}quota_us': '-1\n'})
    assert resources.cores({}) == 16


def test_slurm_bounds_cores(groups):
    assert resources.cores({'SLURM_CPUS_PER_TASK': '5'}) == 5
    assert resources.cores({'SLURM_CPUS_PER_TASK': '64'}) == 16


def test_unknown_memory_is_zero(groups, monkeypatch):
    def sysconf(name):
        raise ValueError

    monkeypatch.setattr(os, 'sysconf', sysconf)
    assert resources.memory() == 0
