"""Changes of a config before mmengine's Runner is built from it."""

import logging
import os
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import distributed, nn

from lewel_plugins.checkpoints import check_weights
from lewel_plugins.errors import SetupError
from lewel_plugins.running import setup

pytestmark = pytest.mark.core


@pytest.fixture
def cfg() -> Config:
    return Config(
        dict(
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
            train_dataloader=dict(num_workers=2, collate_fn=dict(type='pseudo_collate')),
            val_dataloader=dict(num_workers=0),
            randomness=dict(seed=3),
        ),
        cfg_text='text of the file',
        filename='configs/room/name.py',
    )


def _checkpoint(path, **changes):
    state = dict(state_dict={}, optimizer={}, message_hub={}, meta=dict(seed=3, epoch=1, iter=2))
    torch.save({**state, **changes}, path)
    return path


def test_load_config_names_near_matches(tmp_path, monkeypatch):
    room = tmp_path / 'configs' / 'lewel'
    room.mkdir(parents=True)
    (room / 'lewel-b_resnet50.py').write_text('a = 1\n')
    monkeypatch.chdir(tmp_path)
    assert setup.load_config('configs/lewel/lewel-b_resnet50.py').a == 1
    with pytest.raises(SetupError, match='Did you mean configs/lewel/lewel-b_resnet50.py'):
        setup.load_config('lewel-b_resnet5.py')
    with pytest.raises(SetupError, match=r"config 'zzz' does not exist\.$"):
        setup.load_config('zzz')


@pytest.mark.parametrize(
    ('name', 'content', 'reason'),
    [
        ('a.py', 'a = (\n', 'SyntaxError'),
        ('a.py', 'raise OSError(5, "x")\n', 'OSError'),
        ('a.json', '{', 'JSONDecodeError'),
    ],
)
def test_load_config_of_a_damaged_file_is_one_line(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(SetupError, match=rf'{name} cannot be read: {reason}: ') as caught:
        setup.load_config(str(tmp_path / name))
    assert '\n' not in str(caught.value)


@pytest.mark.skipif(find_spec('mmrotate') is not None, reason='the test needs a package that is not installed')
def test_load_config_names_the_missing_package_of_a_base(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = ['mmrotate::_base_/default_runtime.py']\n")
    with pytest.raises(SetupError, match=r'a\.py cannot be read: mmrotate is not installed.*; see docs/install\.md$'):
        setup.load_config(str(tmp_path / 'a.py'))


@pytest.mark.parametrize(
    'of_config, option, resume, expected',
    [
        (None, None, None, './work_dirs/name'),
        (None, None, 'auto', './work_dirs/name'),
        (None, None, 'runs/a/iter_1.pth', 'runs/a'),
        ('mine', None, 'runs/a/iter_1.pth', 'mine'),
        ('mine', 'yours', 'runs/a/iter_1.pth', 'yours'),
    ],
)
def test_work_dir(cfg, tmp_path, monkeypatch, of_config, option, resume, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'runs' / 'a').mkdir(parents=True)
    (tmp_path / 'runs' / 'a' / 'iter_1.pth').touch()
    if of_config:
        cfg.work_dir = of_config
    setup.set_work_dir(cfg, option, resume)
    assert cfg.work_dir == expected
    with pytest.raises(SetupError, match=r"^checkpoint 'runs/b/iter_1.pth' does not exist$"):
        setup.set_work_dir(cfg, option, 'runs/b/iter_1.pth')


def test_a_file_where_the_work_dir_would_be(cfg, tmp_path):
    (tmp_path / 'file').write_text('')
    for name in ('file', 'file/run'):
        with pytest.raises(SetupError, match=rf"^work dir '.*{name}' cannot be created: .*/file is a file; choose"):
            setup.set_work_dir(cfg, str(tmp_path / name))


@pytest.mark.parametrize('value', [0, -1, 1.5, '10', True, float('nan')])
@pytest.mark.parametrize('name', ['max_epochs', 'max_iters', 'val_interval'])
def test_a_training_without_a_step(cfg, name, value):
    for right in ({}, dict(max_epochs=1), dict(max_iters=1e3)):
        cfg.train_cfg = right
        setup.check_length(cfg)
    cfg.train_cfg = {name: value}
    with pytest.raises(SetupError, match=rf'^train_cfg.{name} must be a whole number of at least 1, got '):
        setup.check_length(cfg)


@pytest.mark.parametrize(
    ('launcher', 'values', 'error'),
    [
        ('pytorch', dict(WORLD_SIZE='abc'), "WORLD_SIZE must be a whole number for --launcher pytorch, got 'abc'"),
        ('pytorch', dict(RANK='-1'), "RANK must be a whole number for --launcher pytorch, got '-1'"),
        ('pytorch', dict(RANK='2', WORLD_SIZE='2'), 'RANK must be below WORLD_SIZE = 2, got 2'),
        ('pytorch', dict(MASTER_PORT=''), "MASTER_PORT must be a whole number for --launcher pytorch, got ''"),
        ('slurm', dict(SLURM_NTASKS='0'), 'SLURM_PROCID must be below SLURM_NTASKS = 0, got 0'),
        ('mpi', dict(OMPI_COMM_WORLD_RANK='x'), 'OMPI_COMM_WORLD_RANK must be a whole number .*'),
    ],
)
def test_variables_of_a_launcher_that_are_no_numbers(cfg, monkeypatch, launcher, values, error):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    setup.check_images(cfg, 'none')
    for check in (setup.check_images, setup.prepare):
        with pytest.raises(SetupError, match=f'^{error}$'):
            check(cfg, launcher)


def test_amp_is_bfloat16_without_loss_scaling_where_the_device_has_it(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_bfloat16', lambda: True)
    setup.enable_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert (cfg.optim_wrapper.dtype, cfg.optim_wrapper.loss_scale) == ('bfloat16', dict(enabled=False))


def test_amp_is_float16_with_loss_scaling_elsewhere(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_bfloat16', lambda: False)
    setup.enable_amp(cfg)
    assert (cfg.optim_wrapper.dtype, cfg.optim_wrapper.loss_scale) == ('float16', 'dynamic')


def test_amp_leaves_a_config_with_amp_alone(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_bfloat16', lambda: True)
    cfg.optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512.0)
    setup.enable_amp(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale=512.0)


def test_auto_scale_lr(cfg):
    with pytest.raises(SetupError, match='base_batch_size'):
        setup.enable_auto_scale_lr(cfg)
    cfg.auto_scale_lr = dict(base_batch_size=256)
    setup.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == dict(base_batch_size=256, enable=True)


@pytest.mark.parametrize('iterations', [1, 4])
def test_the_rate_scales_with_the_images_per_optimizer_step(cfg, iterations):
    cfg.auto_scale_lr = dict(base_batch_size=256)
    cfg.optim_wrapper.accumulative_counts = iterations
    cfg.train_dataloader.batch_size = 32
    setup.enable_auto_scale_lr(cfg)
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5))
    runner = SimpleNamespace(
        _train_dataloader=cfg.train_dataloader, world_size=2, logger=logging.getLogger(), param_schedulers=[]
    )
    Runner.scale_lr(runner, wrapper, cfg.auto_scale_lr)
    assert wrapper.param_groups[0]['lr'] == 0.5 * 2 * 32 * iterations / 256


@pytest.mark.parametrize('iterations', [0, 3])
def test_the_rate_scales_exactly_or_not(cfg, iterations):
    cfg.auto_scale_lr = dict(base_batch_size=256)
    cfg.optim_wrapper.accumulative_counts = iterations
    with pytest.raises(SetupError, match=f'divisor of auto_scale_lr.base_batch_size = 256, got {iterations}$'):
        setup.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == dict(base_batch_size=256)


def test_dataloader_defaults(cfg):
    setup.set_dataloader_defaults(cfg)
    assert cfg.train_dataloader.persistent_workers and not cfg.val_dataloader.persistent_workers
    assert cfg.train_dataloader.collate_fn.type == 'pseudo_collate'
    assert cfg.val_dataloader.collate_fn.type == 'default_collate'
    assert cfg.val_dataloader.pin_memory == torch.cuda.is_available()
    assert 'test_dataloader' not in cfg


@pytest.mark.parametrize('has_gpu', [True, False])
def test_every_loader_of_the_runner_has_pinned_memory_beside_a_gpu(has_gpu, monkeypatch):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: has_gpu)
    loader = dict(dataset=[0], sampler=dict(type='DefaultSampler', shuffle=False), batch_size=1)
    build = setup.PretrainRunner.build_dataloader
    assert build(loader, seed=0).pin_memory == has_gpu
    assert not build(dict(loader, pin_memory=False), seed=0).pin_memory


def test_resume_from_a_path(cfg, tmp_path):
    path = str(_checkpoint(tmp_path / 'a.pth'))
    cfg.work_dir = str(tmp_path)
    assert setup.set_resume(cfg, path) == path
    assert cfg.resume and cfg.load_from == path and cfg.randomness.seed == 3


def test_resume_takes_the_seed_of_the_checkpoint(cfg, tmp_path):
    path = str(_checkpoint(tmp_path / 'a.pth', meta=dict(seed=8, epoch=1, iter=2)))
    cfg.work_dir = str(tmp_path)
    with pytest.warns(UserWarning, match='seed 8 of .*, not with 3'):
        setup.set_resume(cfg, path)
    assert cfg.randomness.seed == 8
    cfg.pop('randomness')
    setup.set_resume(cfg, path)
    assert cfg.randomness.seed == 8


def test_resume_finds_the_latest_in_a_folder_that_has_moved(cfg, tmp_path):
    cfg.work_dir = str(tmp_path)
    _checkpoint(tmp_path / 'iter_2.pth')
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_2.pth')
    assert setup.set_resume(cfg, 'auto') == str(tmp_path / 'iter_2.pth')


def test_resume_starts_fresh_where_there_is_no_checkpoint(cfg, tmp_path, capsys):
    cfg.work_dir = str(tmp_path)
    assert setup.set_resume(cfg, 'auto') is None
    assert 'starting fresh' in capsys.readouterr().out
    assert 'resume' not in cfg and 'load_from' not in cfg


def test_resume_names_the_file_it_cannot_use(cfg, tmp_path):
    cfg.work_dir = str(tmp_path)
    whole = _checkpoint(tmp_path / 'whole.pth', state_dict=dict(w=torch.zeros(1000))).read_bytes()
    (tmp_path / 'half.pth').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'empty.pth').write_bytes(b'')
    (tmp_path / 'flipped.pth').write_bytes(_with_another_byte(whole))
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    torch.save([1], tmp_path / 'list.pth')
    _checkpoint(tmp_path / 'place.pth', meta=dict(seed=3))
    _checkpoint(tmp_path / 'meta.pth', meta=[1])
    for name, message in [
        ('none.pth', 'does not exist'),
        ('place.pth', 'holds no position to resume from: its meta has no epoch and no iter'),
        ('meta.pth', 'its meta is no dict'),
        ('half.pth', 'cannot be read'),
        ('empty.pth', 'cannot be read'),
        ('weights.pth', 'has no optimizer, message_hub, meta'),
        ('list.pth', 'is not a checkpoint of a training'),
        ('flipped.pth', 'the checksum of .* is wrong'),
    ]:
        with pytest.raises(SetupError, match=f'{name}.*{message}'):
            setup.set_resume(cfg, str(tmp_path / name))


def _with_another_byte(content: bytes) -> bytes:
    """Change a byte within a tensor, which torch reads without an error."""
    place = content.index(bytes(1000)) + 500
    return content[:place] + b'x' + content[place + 1 :]


def _run_with_a_damaged_last_checkpoint(folder) -> None:
    for step in (4, 2, 6):
        path = _checkpoint(folder / f'iter_{step}.pth', state_dict=dict(w=torch.zeros(1000)))
        os.utime(path, (step, step))
    path.write_bytes(_with_another_byte(path.read_bytes()))
    (folder / 'last_checkpoint').write_text(str(path))


def test_resume_takes_the_newest_undamaged_checkpoint(cfg, tmp_path):
    cfg.work_dir = str(tmp_path)
    _run_with_a_damaged_last_checkpoint(tmp_path)
    with pytest.warns(UserWarning, match=r'iter_6.pth cannot be read.*; trying the next older checkpoint'):
        assert setup.set_resume(cfg, 'auto') == str(tmp_path / 'iter_4.pth')
    with pytest.raises(SetupError, match='iter_6.pth cannot be read'):  # named by the user
        setup.set_resume(cfg, str(tmp_path / 'iter_6.pth'))
    for step in (2, 4):
        (tmp_path / f'iter_{step}.pth').write_bytes(b'')
    with pytest.warns(UserWarning), pytest.raises(SetupError, match='iter_[24].pth cannot be read'):
        setup.set_resume(cfg, 'auto')


def test_resume_passes_over_missing_files_and_weights(cfg, tmp_path):
    cfg.work_dir = str(tmp_path)
    _run_with_a_damaged_last_checkpoint(tmp_path)
    (tmp_path / 'iter_6.pth').unlink()
    for name, content in (('best_knn_iter_4.pth', dict(state_dict={}, meta={})), ('backbone.pth', dict(w=1))):
        torch.save(content, tmp_path / name)  # newer than the checkpoints
    with pytest.warns(UserWarning) as caught:
        assert setup.set_resume(cfg, 'auto') == str(tmp_path / 'iter_4.pth')
    texts = sorted(str(warning.message) for warning in caught)
    assert all(text.endswith('; trying the next older checkpoint') for text in texts)
    reasons = [
        "iter_6.pth' does not exist",
        'backbone.pth is not a checkpoint of',
        'iter_4.pth holds no training state',
    ]
    assert len(texts) == 3 and all(any(reason in text for text in texts) for reason in reasons)


def test_weights_of_which_none_fits_are_refused(tmp_path):
    runner = setup.PretrainRunner.__new__(setup.PretrainRunner)
    runner.model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    fitting = {'module.0.bias': torch.zeros(3), 'other': torch.zeros(1)}
    runner._check_start(fitting, 'a.pth', setup._NO_MODULE)
    others = {'0.bias': torch.zeros(4), '1.num_batches_tracked': torch.tensor(1)}
    for state in (others, {'x': torch.zeros(3)}, {'x': 1}):
        with pytest.raises(SetupError, match=r"^no tensor of a\.pth fits the config's model: .*, the model 0\.weight,"):
            runner._check_start(state, 'a.pth', setup._NO_MODULE)


@pytest.mark.parametrize('groups', [[nn.Linear(2, 3)], [nn.Linear(2, 3), nn.Linear(2, 2)]])
def test_the_state_of_another_optimizer_is_one_line(monkeypatch, groups):
    saved = torch.optim.SGD([dict(params=layer.weight) for layer in groups], 0.1).state_dict()

    def resume(runner, filename):
        torch.optim.SGD([dict(params=nn.Linear(2, 3).parameters())], 0.1).load_state_dict(saved)

    monkeypatch.setattr(Runner, 'resume', resume)
    runner = setup.PretrainRunner.__new__(setup.PretrainRunner)
    with pytest.raises(SetupError, match=r"^a\.pth does not fit the config's optimizer: loaded state dict [^\n]*$"):
        runner.resume('a.pth')


def test_time_limit(cfg):
    setup.set_time_limit(cfg, 1.5)
    assert cfg.default_hooks.preemption == dict(type='lewel_plugins.PreemptionHook', max_minutes=1.5)
    with pytest.raises(SetupError, match='--max-minutes takes a positive number, got 0'):
        setup.set_time_limit(cfg, 0)


def test_check_weights(tmp_path):
    model = nn.Linear(2, 3)
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    check_weights(model, path)
    with pytest.raises(
        SetupError,
        match=r'a\.pth .* of 1 tensors: .* shape \(weight \(3, 2\), not \(4, 2\)\); it has 1 tensor .* \(bias\)$',
    ):
        check_weights(nn.Linear(2, 4, bias=False), path)
    with pytest.raises(SetupError, match='it lacks 2 tensors'):
        check_weights(nn.Bilinear(2, 2, 3), _checkpoint(path))


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: False)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        # setenv comes first, so that everything the tested code sets is undone.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)


def test_prepare_joins_gloo_on_a_machine_without_an_accelerator(cfg, no_accelerator, monkeypatch, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostname n[1-2]" ] && printf "127.0.0.1\\nn2\\n"\n')
    scontrol.chmod(0o755)
    slurm = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='n[1-2]', MASTER_PORT='0')
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    cfg.sync_bn = 'torch'
    try:
        setup.prepare(cfg, 'slurm')
        assert distributed.get_backend() == 'gloo' and get_world_size() == 1
    finally:
        distributed.destroy_process_group()
    assert cfg.launcher == 'slurm' and cfg.sync_bn == 'torch'
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=False
    )


@pytest.mark.parametrize('launcher, variable', [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM')])
def test_prepare_outside_a_launcher(cfg, no_accelerator, launcher, variable):
    with pytest.raises(SetupError, match=f'--launcher {launcher} needs {variable}'):
        setup.prepare(cfg, launcher)


def test_prepare_drops_amp_on_a_machine_without_an_accelerator(cfg, no_accelerator):
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    with pytest.warns(UserWarning, match='float32 instead of mixed precision'):
        setup.prepare(cfg, 'none')
    assert cfg.optim_wrapper == dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    assert 'model_wrapper_cfg' not in cfg


def test_prepare_changes_nothing_where_there_is_an_accelerator(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: True)
    monkeypatch.setattr(setup, 'check_gpus', lambda: None)
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.sync_bn = 'torch'
    before = cfg.to_dict()
    monkeypatch.delenv('MASTER_PORT', raising=False)
    monkeypatch.setenv('SLURM_JOB_ID', '4711')
    setup.prepare(cfg, 'slurm')
    assert cfg.to_dict() == {**before, 'launcher': 'slurm'}
    assert os.environ.pop('MASTER_PORT') == '24711'


@pytest.mark.parametrize(
    ('launcher', 'source', 'gpus', 'device'),
    [
        ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK', 8, '3'),
        ('slurm', 'SLURM_LOCALID', 8, '3'),
        ('slurm', 'SLURM_LOCALID', 1, '0'),  # --gpus-per-task=1
        ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK', 1, '0'),
    ],
)
def test_the_gpu_of_a_rank(cfg, monkeypatch, launcher, source, gpus, device):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: True)
    monkeypatch.setattr(setup, 'check_gpus', lambda: None)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.setenv(source, '3')
    monkeypatch.setenv('LOCAL_RANK', '0')  # as add_launcher sets it without an argument
    setup.prepare(cfg, launcher)
    assert os.environ['LOCAL_RANK'] == device  # device_ids of DDP
    assert os.environ[source] == device  # set_device of mmengine


def test_a_wrapper_does_not_broadcast_buffers(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: True)
    monkeypatch.setattr(setup, 'check_gpus', lambda: None)
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', static_graph=True)
    setup.prepare(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg.broadcast_buffers is False
    cfg.model_wrapper_cfg.broadcast_buffers = True
    setup.prepare(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg.broadcast_buffers is True


def test_prepare_takes_float16_on_a_gpu_without_bfloat16(cfg, monkeypatch):
    monkeypatch.setattr(setup, 'has_accelerator', lambda: True)
    monkeypatch.setattr(setup, 'check_gpus', lambda: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    monkeypatch.setattr(setup, 'has_bfloat16', lambda: True)
    setup.prepare(cfg, 'none')
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    monkeypatch.setattr(setup, 'has_bfloat16', lambda: False)
    with pytest.warns(UserWarning, match='no bfloat16: training in float16'):
        setup.prepare(cfg, 'none')
    assert (cfg.optim_wrapper.dtype, cfg.optim_wrapper.loss_scale) == ('float16', 'dynamic')


def test_prepare_sets_what_cublas_needs_to_be_deterministic(cfg, no_accelerator, monkeypatch):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', 'before')
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG')
    setup.prepare(cfg, 'none')
    assert 'CUBLAS_WORKSPACE_CONFIG' not in os.environ
    cfg.randomness = dict(seed=0, deterministic=True)
    setup.prepare(cfg, 'none')
    assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'


def test_a_batch_that_the_rate_was_not_set_for_is_named(monkeypatch):
    cfg = Config(dict(train_dataloader=dict(batch_size=32), auto_scale_lr=dict(base_batch_size=256)))
    expected = r'1 × 32 = 32 images, but the learning rate was set for 256: .*--auto-scale-lr'
    with pytest.warns(UserWarning, match=expected):
        setup.check_batch(cfg, 'none')
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.warns(UserWarning, match=r'2 × 32 = 64 images'):
        setup.check_batch(cfg, 'pytorch')
    accumulated = Config(dict(cfg, optim_wrapper=dict(accumulative_counts=2)))
    with pytest.warns(UserWarning, match=r'2 × 32 × 2 = 128 images'):
        setup.check_batch(accumulated, 'pytorch')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        monkeypatch.setenv('WORLD_SIZE', '4')
        setup.check_batch(accumulated, 'pytorch')
        monkeypatch.setenv('WORLD_SIZE', '8')
        setup.check_batch(cfg, 'pytorch')
        setup.enable_auto_scale_lr(cfg)
        setup.check_batch(cfg, 'none')
        setup.check_batch(Config(dict(train_dataloader=dict(batch_size=3))), 'none')
