"""What ``tools/train.py`` and ``tools/test.py`` change in a config before they hand it to mmengine's Runner.

mmengine's launchers and AMP, and torch's SyncBN, need an accelerator. :func:`prepare` and :class:`PretrainRunner` adapt
a config to a machine without one, so that the same config and the same command run on a laptop, on two gloo ranks and
on a cluster.
"""

import difflib
import math
import os
import re
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import InfiniteSampler
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import distributed, nn
from torch.utils.data import DataLoader

from lewel_plugins.checkpoints import (
    UnusableCheckpoint,
    check_settings,
    read_pretrained,
    read_training_state,
    refuse_older,
)
from lewel_plugins.dist import unwrap_model, world_size
from lewel_plugins.errors import SetupError
from lewel_plugins.models.batch_norm import use_sync_batch_norm

from .data_check import check_data, refuse_batch
from .devices import check_gpus, check_ops, has_accelerator, has_bfloat16
from .gloo_interface import set_gloo_interface
from .gradient_buckets import fix_buckets
from .group_scaling import iterations_per_step, scale_groups
from .lost_workers import with_timeout
from .num_views import check_num_views
from .rendezvous import check_variables, set_device, set_rendezvous, set_slurm_port
from .same_start import check_same_start
from .watched_loader import watched
from .work_dir import list_checkpoints

_CONFIG_TYPES = '.py, .json or .yaml'
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def _is_first_rank() -> bool:
    return os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'


def _print(line: str) -> None:
    if _is_first_rank():
        print(line, flush=True)


def _warn(message: str) -> None:
    if _is_first_rank():
        warnings.warn(message, stacklevel=3)


def load_config(path: str) -> Config:
    """Read a config file.

    Raises:
        SetupError: The file does not exist (suggests configs with a similar name), is of another kind, raises an error,
            or builds on the configs of a package that is not installed.
    """
    if Path(path).is_dir():
        raise SetupError(f'{path} is a folder, not a config file ({_CONFIG_TYPES})')
    if Path(path).is_file():
        if not path.endswith(('.py', '.json', '.yaml', '.yml')):
            raise SetupError(
                f'{path} is not a config file ({_CONFIG_TYPES}); see --help for the order of the arguments'
            )
        try:
            return Config.fromfile(path)
        except ModuleNotFoundError as error:  # the package of a base: mmdet::_base_/models/…
            raise SetupError(f'{path} cannot be read: {error}; see docs/install.md') from None
        except Exception as error:  # the file is Python, which may raise anything
            reason = ' '.join(str(error).split())[:300]
            raise SetupError(f'{path} cannot be read: {type(error).__name__}: {reason}') from error
    folders = {Path(path).parent, Path('configs')}
    files = sorted({str(file) for folder in folders if folder.is_dir() for file in folder.rglob('*.py')})
    by_name = {Path(file).name: file for file in files}
    matches = [by_name[name] for name in difflib.get_close_matches(Path(path).name, by_name, n=3, cutoff=0.5)]
    hint = f' Did you mean {" or ".join(matches)}?' if matches else ''
    raise SetupError(f'config {path!r} does not exist.{hint}')


def set_work_dir(cfg: Config, work_dir: str | None, resume: str | None = None) -> None:
    """Choose the folder of a run.

    The first of these that is set counts: ``work_dir``, ``work_dir`` in the config, the folder of the checkpoint to
    resume from, ``work_dirs/<name of the config>``.

    Raises:
        SetupError: There is no such checkpoint, or a file is where the folder would be.
    """
    # Before anything is written to the folder.
    if resume is not None and resume != 'auto' and not Path(resume).is_file():
        raise SetupError(f'checkpoint {resume!r} does not exist')
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        if resume is None or resume == 'auto':
            cfg.work_dir = f'./work_dirs/{Path(cfg.filename).stem}'
        else:
            cfg.work_dir = str(Path(resume).parent)
    folder = Path(cfg.work_dir)
    places = [path for path in (folder, *folder.parents) if os.path.exists(path)]
    file = next((path for path in places if not path.is_dir()), None)
    if file is not None:
        raise SetupError(f'work dir {cfg.work_dir!r} cannot be created: {file} is a file; choose another --work-dir')


def enable_amp(cfg: Config) -> None:
    """Turn on mixed precision: bfloat16 without loss scaling if the GPU has it, else float16 with loss scaling."""
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':
        return
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if has_bfloat16():
        cfg.optim_wrapper.update(dtype='bfloat16', loss_scale=dict(enabled=False))
    else:
        cfg.optim_wrapper.update(dtype='float16', loss_scale='dynamic')


def enable_auto_scale_lr(cfg: Config, launcher: str = 'none') -> None:
    """Scale the learning rate by the ratio of the images per optimizer step to the config's base batch size.

    mmengine counts the images of one iteration, so with gradient accumulation over A iterations the base batch size
    becomes that of one iteration, 1/A of it. A config in which scaling is on already, such as one that a run has
    written, stays as it is.

    Settings of SMoG that depend on the batch keep their ratios, see :func:`scale_groups`; a printed line names them.

    Args:
        cfg: The config.
        launcher: Launcher of the ranks; its environment variables hold their number.

    Raises:
        SetupError: The config has no ``auto_scale_lr.base_batch_size``, or it is no multiple of A.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise SetupError(
            '--auto-scale-lr needs the batch size that the learning rate was set for, and the config has none: '
            'add auto_scale_lr = dict(base_batch_size=...)'
        )
    if cfg.auto_scale_lr.get('enable'):
        return
    base, iterations = cfg.auto_scale_lr.base_batch_size, iterations_per_step(cfg)
    if iterations < 1 or base % iterations:
        raise SetupError(
            f'--auto-scale-lr needs optim_wrapper.accumulative_counts to be a divisor of auto_scale_lr.base_batch_size '
            f'= {base}, got {iterations}'
        )
    line = scale_groups(cfg, _processes(launcher))
    cfg.auto_scale_lr.update(enable=True, base_batch_size=base // iterations)
    if line:
        _print(line)


def check_batch(cfg: Config, launcher: str) -> None:
    """Warn if the images per optimizer step are not those that the rate was set for, and nothing scales the rate.

    Args:
        cfg: The config.
        launcher: Launcher of the ranks; its environment variables hold their number.
    """
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    if base is None or scaling.get('enable'):
        return
    factors = [_processes(launcher), cfg.train_dataloader.batch_size]
    if iterations_per_step(cfg) != 1:
        factors.append(iterations_per_step(cfg))
    images = math.prod(factors)
    if images != base:
        _warn(
            f'a step has {" × ".join(map(str, factors))} = {images} images, but the learning rate was set for {base}: '
            f'start as many processes as a step of {base} images needs, or add --auto-scale-lr'
        )


def _processes(launcher: str) -> int:
    """Return the number of ranks that a launcher has started."""
    names = {'none': '', 'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}
    return int(os.environ.get(names[launcher], 1))


def check_images(cfg: Config, launcher: str = 'none') -> None:
    """Refuse a training whose images are not where the config expects them; see :func:`check_data`.

    Args:
        cfg: The config.
        launcher: Launcher of the ranks; its environment variables hold their number.

    Raises:
        SetupError: Names the setting, its value, and what to do.
    """
    check_variables(launcher)
    check_data(cfg, _processes(launcher))


def check_length(cfg: Config) -> None:
    """Refuse a training without a step; mmengine would end it without a word, or with an error of arithmetic.

    Raises:
        SetupError: A length is not a whole number of at least 1.
    """
    for name in ('max_epochs', 'max_iters', 'val_interval'):
        value = (cfg.get('train_cfg') or {}).get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 or value < 1:
            raise SetupError(f'train_cfg.{name} must be a whole number of at least 1, got {value!r}')


def set_dataloader_defaults(cfg: Config) -> None:
    """Set mmpretrain's defaults in the loaders where the config does not set them.

    A batch is one tensor in mmpretrain. In mmdet and mmseg, whose images differ in size, it is a list.
    """
    collate = 'default_collate' if cfg.get('default_scope', 'mmpretrain') == 'mmpretrain' else 'pseudo_collate'
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader:
            defaults = dict(
                pin_memory=has_accelerator(),
                persistent_workers=loader.get('num_workers', 0) > 0,
                collate_fn=dict(type=collate),
            )
            cfg[name] = ConfigDict({**defaults, **loader})


def set_time_limit(cfg: Config, max_minutes: float) -> None:
    """Have the run save and stop after a number of minutes.

    Raises:
        SetupError: The number is not positive.
    """
    if not max_minutes > 0:
        raise SetupError(f'--max-minutes takes a positive number, got {max_minutes:g}')
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    hooks.setdefault('preemption', ConfigDict(type='lewel_plugins.PreemptionHook')).max_minutes = max_minutes


def set_resume(cfg: Config, resume: str | None, trust: bool = False) -> str | None:
    """Point the config to the checkpoint to resume from, after checking that it can be resumed from.

    Args:
        cfg: The config, which is changed.
        resume: None for a new run, ``'auto'`` for the last checkpoint of ``cfg.work_dir``, or a path. If the last
            checkpoint is missing or damaged, the newest whole one is used, with a warning.
        trust: Unpickle objects of any type, which can run code of the file.

    Returns:
        Path of the checkpoint; None for a run that starts fresh.

    Raises:
        SetupError: The file is missing or unreadable, or holds no training state.
    """
    cfg.trust_checkpoints = trust
    if resume is None:
        return None
    paths = list_checkpoints(cfg.work_dir) if resume == 'auto' else [Path(resume)]
    if not paths:
        _print(f'--resume: no checkpoint in {cfg.work_dir}, starting fresh')
        return None
    path, checkpoint = _read_first(paths, trust)
    # mmengine builds the sampler before it restores the seed from the checkpoint, so the seed is set here.
    seed = checkpoint['meta'].get('seed')
    randomness = cfg.setdefault('randomness', ConfigDict())
    if randomness.get('seed') not in (None, seed):
        _warn(f'resuming with seed {seed} of {path}, not with {randomness.seed}')
    randomness.seed = seed
    cfg.resume = True
    cfg.load_from = str(path)
    _print(f'--resume: continuing from {path} in {cfg.work_dir}')
    return str(path)


def _read_first(paths: list[Path], trust: bool) -> tuple[Path, dict]:
    """Return the first checkpoint that a run can be resumed from."""
    for path in paths:
        try:
            return path, _read_state(path, trust)
        except UnusableCheckpoint as error:
            if path == paths[-1]:
                raise
            _warn(f'{error}; trying the next older checkpoint')
    raise AssertionError


def _read_state(path: Path, trust: bool) -> dict:
    checkpoint = read_training_state(path, trust)
    meta = checkpoint.get('meta', {})
    if not isinstance(meta, dict):
        raise UnusableCheckpoint(f'{path} is not a checkpoint of a training: its meta is no dict')
    refuse_older(checkpoint, path)
    missing = [key for key in ('state_dict', 'optimizer', 'message_hub', 'meta') if key not in checkpoint]
    if missing:
        raise UnusableCheckpoint(
            f'{path} holds no training state to resume from: it has no {", ".join(missing)}. To start from its '
            f'weights, use --cfg-options load_from={path}'
        )
    unknown = [key for key in ('epoch', 'iter') if not isinstance(meta.get(key), int)]
    if unknown:
        raise UnusableCheckpoint(f'{path} holds no position to resume from: its meta has no {" and no ".join(unknown)}')
    return checkpoint


def prepare(cfg: Config, launcher: str) -> None:
    """Adapt a config to the launcher and to this machine's device, and join the process group if that is the CPU.

    Without an accelerator the ranks use gloo instead of NCCL, and there is no mixed precision.

    Raises:
        SetupError: The config has settings of an older version, or another number of views than its rate is for, the
            launcher has not set its variables or not to numbers, or there are GPUs that torch or mmcv's ops cannot use.
    """
    check_variables(launcher)
    check_settings(cfg)
    check_num_views(cfg)
    check_gpus()
    check_ops(cfg.get('default_scope', 'mmpretrain'))
    cfg.launcher = launcher
    if (cfg.get('randomness') or {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # cuBLAS refuses to be deterministic without it
    if launcher == 'slurm':
        set_slurm_port()
    if cfg.get('model_wrapper_cfg'):
        # mmengine sets it only without a `model_wrapper_cfg`. SMoG's cache of features differs between ranks.
        cfg.model_wrapper_cfg.setdefault('broadcast_buffers', False)
    if has_accelerator():
        set_device(launcher)
        set_gloo_interface(launcher)
        _replace_missing_bfloat16(cfg)
        return
    if launcher != 'none':
        set_rendezvous(launcher)
        set_gloo_interface(launcher)
    if cfg.get('optim_wrapper', {}).get('type') == 'AmpOptimWrapper':
        _warn('no accelerator: training in float32 instead of mixed precision')
        cfg.optim_wrapper.type = 'OptimWrapper'
        for key in ('dtype', 'loss_scale', 'use_fsdp'):
            cfg.optim_wrapper.pop(key, None)
    if launcher != 'none':
        _join_gloo(cfg)


def _replace_missing_bfloat16(cfg: Config) -> None:
    wants_bfloat16 = cfg.get('optim_wrapper', {}).get('dtype') == 'bfloat16'
    if wants_bfloat16 and torch.cuda.is_available() and not has_bfloat16():
        _warn('this GPU has no bfloat16: training in float16 with loss scaling')
        cfg.optim_wrapper.update(dtype='float16', loss_scale='dynamic')


def _join_gloo(cfg: Config) -> None:
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = ConfigDict({**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None})
    if not distributed.is_initialized():
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 3600)
        distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))


_NO_MODULE = [(r'^module\.', '')]  # mmengine's default for `revise_keys`


class PretrainRunner(Runner):
    """A Runner that runs no code of checkpoints, and has a SyncBN without waits, on gloo ranks, too.

    Its data loaders end with an error if no batch comes for ten minutes, unless their config sets another ``timeout``.
    With an accelerator they copy batches into pinned memory, unless their config sets ``pin_memory``.

    mmengine unpickles checkpoints with all that they contain, and runs the text of the config in them.

    SyncBN is :class:`lewel_plugins.models.batch_norm.SyncBatchNorm`. In detection and segmentation the ranks'
    images differ in size, so that GPUs use torch's SyncBN, and gloo ranks, for which torch has none, use plain batch
    norm.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Join the process group as mmengine does, and check that all ranks start from the same checkpoint."""
        super().setup_env(env_cfg)
        if self.distributed:  # here, because ranks whose checkpoints have a seed do not wait for those that draw one
            check_same_start(self.cfg)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader as mmengine does, but watched, with a timeout, and pinned memory if there is a GPU."""
        if isinstance(dataloader, dict):
            dataloader = ConfigDict({'pin_memory': has_accelerator(), **with_timeout(dataloader)})
        try:
            loader = watched(Runner.build_dataloader(dataloader, seed, diff_rank_seed))
        except FileNotFoundError as error:
            raise SetupError(f'a data set of the config cannot be read: {error}') from error
        is_endless = isinstance(loader.sampler, InfiniteSampler)
        if loader.drop_last and loader.batch_size and not is_endless and len(loader) == 0:
            refuse_batch(len(loader.dataset), loader.batch_size, world_size(), 'the data set')  # type: ignore[arg-type]
        return loader

    def load_checkpoint(
        self, filename: str, map_location: Any = 'cpu', strict: bool = False, revise_keys: list = _NO_MODULE
    ) -> dict:
        """Load a checkpoint into the model, as mmengine does, and return it; it is read on the CPU."""
        if self._resume:
            checkpoint = read_training_state(filename, self.cfg.get('trust_checkpoints', False))
        else:
            checkpoint, state = read_pretrained(filename)
            self._check_start(state, filename, revise_keys)
        # Runner.resume would run it, to compare the numbers of GPUs that a configuration has not named for years.
        checkpoint.get('meta', {}).pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        _load_checkpoint_to_model(unwrap_model(self.model), checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _check_start(self, state: Mapping[str, Any], filename: str, revise_keys: list) -> None:
        """Refuse weights of which the model would take none; mmengine warns, and trains random weights.

        Raises:
            SetupError: No parameter has the name and shape of a tensor of the file.
        """
        for pattern, replacement in revise_keys:
            state = {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}
        own = dict(unwrap_model(self.model).named_parameters())
        shapes = {name: getattr(tensor, 'shape', None) for name, tensor in state.items()}
        if own and not any(shapes.get(name) == parameter.shape for name, parameter in own.items()):
            raise SetupError(
                f"no tensor of {filename} fits the config's model: the file has {next(iter(shapes))}, ..., the model "
                f'{next(iter(own))}, ...; name another checkpoint by load_from, or start a backbone by init_cfg'
            )

    def resume(self, filename: str, *arguments: Any, **options: Any) -> None:
        """Resume from a checkpoint, as mmengine does.

        Raises:
            SetupError: The state of the optimizer is that of another one.
        """
        try:
            super().resume(filename, *arguments, **options)
        except ValueError as error:
            if 'parameter group' not in str(error):
                raise
            raise SetupError(
                f"{filename} does not fit the config's optimizer: {error}; resume with the settings of the run, or "
                f'start from its weights alone by --cfg-options load_from={filename}'
            ) from None

    def dump_config(self) -> None:
        """Write the config to the work dir, as mmengine does, unless it comes from there.

        Its text may have paths that start from its folder, and what mmengine writes has those of this machine.
        """
        source = self.cfg.filename
        if source is None or Path(source).resolve().parent != Path(self.work_dir).resolve():
            super().dump_config()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        sync_bn = self.cfg.get('sync_bn')
        if self.cfg.get('default_scope', 'mmpretrain') == 'mmpretrain' and sync_bn in (None, 'torch'):
            model = use_sync_batch_norm(model, convert=sync_bn == 'torch')
            self.cfg.sync_bn = None  # mmengine would replace the layers
        elif not has_accelerator() and (
            sync_bn or any(isinstance(layer, nn.SyncBatchNorm) for layer in model.modules())
        ):
            _warn('no accelerator: SyncBN uses the statistics of each rank')
            model = revert_sync_batchnorm(model)
            self.cfg.sync_bn = None
        try:
            model = super().wrap_model(model_wrapper_cfg, model)
            fix_buckets(model)
            return model
        finally:
            self.cfg.sync_bn = sync_bn


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of a config that :func:`prepare` has adapted.

    It validates once if a kill has lost the validation after the checkpoint that it resumes from.
    """
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else PretrainRunner.from_cfg(cfg)
    runner.register_hook(dict(type='lewel_plugins.MissedValidationHook'))  # by name: hooks stand above this package
    return runner
