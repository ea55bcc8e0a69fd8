"""The shell scripts around tools/train.py and tools/test.py."""

import shutil
import subprocess
import sys

import pytest
import torch
from helpers.tool_runs import ROOT, free_port, run, write_config

TOOLS = ROOT / 'tools'


@pytest.mark.core
def test_dist_train_and_test_on_two_cpu_ranks(tmp_path):
    """Paths may contain spaces; SyncBN, AMP and a scaled learning rate are those of a GPU config."""
    home = tmp_path / 'a folder'
    config = write_config(
        home / 'my config.py',
        **{'model.backbone.norm_cfg.type': 'SyncBN', 'sync_bn': 'torch', 'auto_scale_lr': dict(base_batch_size=8)},
    )
    out = home / 'my run'
    trained = run(
        str(TOOLS / 'dist_train.sh'), config, '2', '--work-dir', str(out), '--amp', '--auto-scale-lr',
        '--cfg-options', 'train_cfg.val_interval=2', 'optim_wrapper.optimizer.lr=0.5', cwd=home,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stdout[-4000:]
    assert trained.stdout.count('UserWarning: no accelerator: training in float32') == 1, trained.stdout
    assert 'lr: 1.0000e+00' in trained.stdout  # 0.5 for 8 images; two ranks of 8
    assert 'knn/top1' in trained.stdout
    checkpoint = out / 'iter_2.pth'
    assert torch.load(checkpoint, weights_only=False)['meta']['iter'] == 2

    metrics = home / 'metrics of it.json'
    tested = run(
        str(TOOLS / 'dist_test.sh'), config, str(checkpoint), '2', '--out', str(metrics), '--work-dir', str(out),
        cwd=home, PORT=free_port(),
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout[-4000:]
    assert 'knn/top1' in metrics.read_text()


@pytest.fixture
def slurm(tmp_path):
    """Put stand-ins on the PATH that print their name and arguments, one per line; srun then exits with SRUN_STATUS."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('srun', 'sbatch', 'scontrol'):
        script = folder / name
        show = 'for a in "${0##*/}" "$@"; do printf "[%s]\\n" "$a"; done'
        script.write_text(f'#!/bin/sh\n{show}\n[ "${{0##*/}}" != srun ] || exit "${{SRUN_STATUS:-0}}"\n')
        script.chmod(0o755)
    return folder


def _arguments(stdout: str) -> list[str]:
    return [line[1:-1] for line in stdout.splitlines() if line.startswith('[')]


SLURM_TRAIN = (
    str(TOOLS / 'slurm_train.sh'), 'gpu', 'a job', 'my config.py', 'my run', '--cfg-options', 'a.b="[1,2]"',
)  # fmt: skip
RESOURCES = [
    '--partition=gpu', '--job-name=a job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8', '--cpus-per-task=10',
]  # fmt: skip


def _slurm_train(tmp_path, slurm, **environment: str):
    return run(*SLURM_TRAIN, cwd=tmp_path, PATH=f'{slurm}:/usr/bin:/bin', GPUS='16', **environment)


def test_slurm_train_submits_a_job_that_can_be_requeued(tmp_path, slurm):
    result = _slurm_train(tmp_path, slurm, SBATCH_ARGS='--time=4:00:00 --account=me')
    assert result.returncode == 0, result.stdout[-4000:]
    *arguments, wrap = _arguments(result.stdout)
    assert arguments == [
        'sbatch', *RESOURCES, '--requeue', '--open-mode=append', '--output=my run/slurm-%j.log', '--signal=USR1@120',
        '--time=4:00:00', '--account=me',
    ]  # fmt: skip
    # The command in the job is this one again.
    inside = run('/bin/sh', '-c', f'printf "[%s]\\n" {wrap.removeprefix("--wrap=")}', cwd=tmp_path)
    assert _arguments(inside.stdout) == list(SLURM_TRAIN)


@pytest.mark.parametrize(('restarts', 'resume'), [('', []), ('0', []), ('2', ['--resume'])])
def test_slurm_train_in_a_job_resumes_after_a_restart(tmp_path, slurm, restarts, resume):
    job = dict(SLURM_JOB_ID='7', SLURM_RESTART_COUNT=restarts, SRUN_ARGS='--exclude=n1 --time=1:00')
    result = _slurm_train(tmp_path, slurm, **job)
    assert result.returncode == 0, result.stdout[-4000:]
    assert _arguments(result.stdout) == [
        'srun', *RESOURCES, '--kill-on-bad-exit=1', '--exclude=n1', '--time=1:00',
        sys.executable, '-u', str(TOOLS / 'train.py'), 'my config.py', '--work-dir', 'my run', '--launcher', 'slurm',
        '--cfg-options', 'a.b="[1,2]"', *resume,
    ]  # fmt: skip


@pytest.mark.parametrize(('status', 'requeues'), [('0', False), ('1', False), ('75', True)])
def test_slurm_train_requeues_a_run_that_was_saved(tmp_path, slurm, status, requeues):
    result = _slurm_train(tmp_path, slurm, SLURM_JOB_ID='7', SRUN_STATUS=status)
    assert result.returncode == int(status)
    assert (_arguments(result.stdout)[-3:] == ['scontrol', 'requeue', '7']) == requeues


def test_slurm_test(tmp_path, slurm):
    result = run(
        str(TOOLS / 'slurm_test.sh'), 'gpu', 'job', 'my config.py', 'a checkpoint.pth', '--out', 'm.json',
        cwd=tmp_path, PATH=f'{slurm}:/usr/bin:/bin', GPUS='2',
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:]
    arguments = _arguments(result.stdout)
    assert '--ntasks=2' in arguments and '--ntasks-per-node=2' in arguments and '--gres=gpu:2' in arguments
    assert arguments[-7:] == [
        str(TOOLS / 'test.py'), 'my config.py', 'a checkpoint.pth', '--launcher', 'slurm', '--out', 'm.json',
    ]  # fmt: skip


@pytest.mark.parametrize(
    'name',
    [
        'dist_train',
        'dist_test',
        'slurm_train',
        'slurm_test',
        'make_env',
        'build_ops',
        'benchmarks/dist_transfer',
        'benchmarks/mim_dist_transfer',
        'benchmarks/slurm_transfer',
    ],
)
def test_usage(tmp_path, name):
    result = run(str(TOOLS / f'{name}.sh'), cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout.startswith('usage: ')


def test_make_env_says_which_python_is_needed(tmp_path):
    shutil.copytree(TOOLS, tmp_path / 'tools', ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    shutil.copy(ROOT / 'setup.py', tmp_path)
    old = tmp_path / 'python-old'
    old.write_text('#!/bin/sh\nexit 1\n')
    old.chmod(0o755)
    script = str(tmp_path / 'tools' / 'make_env.sh')
    result = run('/bin/sh', '-c', f'PYTHON="{old}" exec "{script}" .venv openmmlab', cwd=tmp_path)
    assert result.returncode == 1
    assert 'Python 3.10 or 3.11 is needed' in result.stdout
    assert not (tmp_path / '.venv').exists()


@pytest.fixture
def build_ops(tmp_path, monkeypatch):
    """Call tools/build_ops.sh with a stand-in for the environment's Python, whose torch is of CUDA 13, and for nvcc."""
    monkeypatch.delenv('FORCE_CUDA', raising=False)  # make test sets it
    python, nvcc = tmp_path / 'env' / 'bin' / 'python', tmp_path / 'bin' / 'nvcc'
    python.parent.mkdir(parents=True)
    nvcc.parent.mkdir()

    def call(nvcc_release: str, is_complete: str = 'false', **environment: str):
        answers = f'*get_compiling*) exec {is_complete};; *version.cuda*) echo 13;; *pip*) env;;'
        python.write_text(f'#!/bin/sh\ncase "$*" in {answers} esac\n')
        nvcc.write_text(f'#!/bin/sh\necho "Cuda compilation tools, release {nvcc_release}, V{nvcc_release}.1"\n')
        for file in (python, nvcc):
            file.chmod(0o755)
        path = f'{nvcc.parent}:/usr/bin:/bin'
        return run(str(TOOLS / 'build_ops.sh'), str(tmp_path / 'env'), cwd=tmp_path, PATH=path, **environment)

    return call


@pytest.mark.core
def test_ops_for_gpus_are_built_without_a_gpu_in_sight(build_ops):
    lines = build_ops('13.0').stdout.splitlines()
    assert {'MMCV_WITH_OPS=1', 'FORCE_CUDA=1', 'TORCH_CUDA_ARCH_LIST=8.0;9.0+PTX'} <= set(lines)
    assert 'TORCH_CUDA_ARCH_LIST=7.5' in build_ops('13.0', TORCH_CUDA_ARCH_LIST='7.5').stdout
    lines = build_ops('13.0', FORCE_CUDA='0').stdout.splitlines()
    assert 'MMCV_WITH_OPS=1' in lines and 'FORCE_CUDA=1' not in lines


@pytest.mark.core
def test_ops_are_not_built_by_another_cuda_nor_twice(build_ops):
    result = build_ops('12.4')
    assert result.returncode == 1
    assert 'nvcc is of CUDA 12, and torch of CUDA 13: load the CUDA module of that version' in result.stdout
    assert 'MMCV_WITH_OPS' not in result.stdout
    assert build_ops('12.4', is_complete='true').stdout == ''


@pytest.fixture
def dist_train(tmp_path):
    """Return a call of dist_train.sh in which Python prints its arguments, one per line, and the store's setting."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\nfor a in "$@"; do printf "[%s]\\n" "$a"; done\nenv | grep RDZV_TCP_STORE\n')
    python.chmod(0o755)

    def call(*arguments: str, **environment: str):
        script = str(TOOLS / 'dist_train.sh')
        return subprocess.run(
            [script, 'a config.py', '8', *arguments],
            env=dict(PATH='/usr/bin:/bin', PYTHON=str(python), **environment),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


@pytest.mark.core
def test_dist_train_on_several_machines(dist_train):
    several = dict(NNODES='2', MASTER_ADDR='10.0.0.1', PORT='1234')
    backend = ['--nnodes=2', '--rdzv-backend=c10d', '--rdzv-endpoint=10.0.0.1:1234']
    first = dist_train(**several)
    assert _arguments(first.stdout)[:7] == [
        '-m', 'torch.distributed.run', *backend, '--rdzv-conf=is_host=1', '--local-addr=10.0.0.1',
    ]  # fmt: skip
    assert 'TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1' in first.stdout
    second = _arguments(dist_train('--resume', NODE_RANK='1', MAX_RESTARTS='3', **several).stdout)
    assert second[2:7] == [*backend, '--rdzv-conf=is_host=0', '--nproc_per_node=8']
    assert second[7] == '--max-restarts=3' and second[9:] == ['a config.py', '--launcher', 'pytorch', '--resume']


@pytest.mark.core
def test_dist_train_does_not_restart_what_would_go_wrong(dist_train):
    several = dict(NNODES='2', MAX_RESTARTS='3')
    for result in (dist_train(**several), dist_train('--resumed', **several)):
        assert result.returncode == 2 and result.stdout == ''
        assert 'error: MAX_RESTARTS=3 on several machines needs --resume' in result.stderr
    assert dist_train('--resume=a.pth', **several).returncode == 0
    stopped = dist_train('--max-minutes', '5', MAX_RESTARTS='3')
    assert stopped.returncode == 2 and 'would start again what --max-minutes has stopped' in stopped.stderr
    assert dist_train(MAX_RESTARTS='3').returncode == 0
    assert dist_train('--max-minutes', '5').returncode == 0
