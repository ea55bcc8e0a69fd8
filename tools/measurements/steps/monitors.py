"""What the monitors cost: in a training step, and in a validation.

A step is that of the method: preprocessing, forward and backward pass, optimizer, teacher. ``probe`` is
``OnlineProbeHook`` in a step: labels looked up in the list of images as in the first epoch, pooled features, and a step
of the classifier. ``embeddings`` is ``RepresentationMonitorHook`` in a step that it measures; its share is that in a
training, where it measures one step of 50. Seconds are those of the hook alone, and shares are relative to the step.
``ratio`` is the median of the paired ratios of a step with the hook to one without, which has the noise of two steps.

``views`` and ``LiDAR`` are ``ViewRetrievalHook`` in a validation, per watched image: two views are loaded, embedded and
compared, and beside them the views of LiDAR. Their shares are relative to a step's seconds per image. ``eigenvalues``
is the part of LiDAR after the embeddings. All functions alternate in one process, and medians are reported. On a CPU
the times are processor time, and the views are loaded by this process.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.dataset import default_collate
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from lewel_plugins.datasets import ImageList, PretrainDataset
from lewel_plugins.functional import lidar
from lewel_plugins.hooks import OnlineProbeHook, RepresentationMonitorHook, ViewRetrievalHook
from lewel_plugins.hooks.online_probe_hook import _UNREAD

from . import options
from .clock import Function, alternate, median_ratio
from .passes import full_step
from .recipes import METHODS, build, prepare, random_views, start_cache
from .report import Report

COLUMNS = ('method', 'ResNet', 'pixels', 'batch', 'monitor', 'seconds', 'share', 'ratio')
CALLS = 10  # calls of a hook per repetition
EVERY = 50  # steps between two that RepresentationMonitorHook measures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py monitors``."""
    options.add_settings(parser)
    options.add_choices(parser, '--methods', METHODS, ('LEWEL_M',))
    parser.add_argument('--classes', type=int, default=100, help='classes of the probe (default: 100)')
    parser.add_argument('--views', type=int, default=10, help='views per image of LiDAR (default: 10)')
    parser.add_argument('--images', type=int, default=200, help='images that are watched (default: 200)')
    parser.add_argument(
        '--data', type=Path, default=Path('data/garment_scenes/val'), help='folder of the images that are watched'
    )
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per setting, method and monitor."""
    MMLogger.get_instance('mmengine', log_level='ERROR')
    prepare(args.threads)
    report = Report('What the monitors cost', *COLUMNS)
    for setting in args.settings:
        for method in args.methods:
            rows = in_steps(method, setting, args)
            rows += in_validations(method, setting, args, rows[0]['seconds'] / setting.batch)
            for row in rows:
                ratio = f'{row["ratio"]:.3f}' if 'ratio' in row else ''
                cells = row['monitor'], f'{row["seconds"]:.2g}', f'{100 * row["share"]:.3g} %', ratio
                report.add(dict(method=method, **setting._asdict(), **row), method, *setting, *cells)
    settings = {name: getattr(args, name) for name in ('repeats', 'classes', 'views', 'images')}
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], **settings)


def in_steps(method: str, setting: options.Setting, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the seconds of a step, and those of the hooks in it."""
    data = random_views(setting.batch, setting.size, 2)
    data['data_samples'] = [DataSample(metainfo=dict(sample_idx=i)) for i in range(setting.batch)]
    hooks: dict[str, Any] = dict(
        probe=OnlineProbeHook(args.classes, interval=EVERY), embeddings=RepresentationMonitorHook(interval=1)
    )
    functions: dict[str, Function] = dict(step=_step(method, setting, args, data)[1])
    with tempfile.TemporaryDirectory() as folder:
        images = _labeled_list(Path(folder), setting.batch, args.classes)
        for name, hook in hooks.items():
            model, step = _step(method, setting, args, data)
            runner = _runner(model, images)
            hook.before_train(runner)
            functions[f'step with {name}'] = _with_hook(hook, runner, data, step)
            functions[name] = _alone(hook, runner, data, _output_of(model, name, data))
        times = alternate(functions, args.device, args.repeats, warm_up=2)
    step_seconds = median(times['step'])
    rows: list[dict[str, Any]] = [dict(monitor='(step)', seconds=step_seconds, share=1.0)]
    for name, every in (('probe', 1), ('embeddings', EVERY)):
        seconds = median(times[name]) / CALLS
        ratio = median_ratio(times[f'step with {name}'], times['step'])
        rows.append(dict(monitor=name, seconds=seconds, share=seconds / step_seconds / every, ratio=ratio))
    return rows


def in_validations(
    method: str, setting: options.Setting, args: argparse.Namespace, step_per_image: float
) -> list[dict[str, Any]]:
    """Return the seconds per watched image of the hook that measures views."""
    model, _ = build(method, setting.depth, args.device)
    model.eval()
    views = [dict(size=setting.size, crop_scale=(0.2, 1.0), jitter=0.8, gray=0.2)] * 2
    pipeline = [dict(type='lewel_plugins.LoadViews', views=views), dict(type='PackInputs')]
    images = DATASETS.build(dict(type='lewel_plugins.ImageTree', data_root=str(args.data), pipeline=pipeline))
    dataset = PretrainDataset(images.get_subset(args.images))
    loader = DataLoader(dataset, batch_size=64, collate_fn=default_collate)
    runner = _runner(model, dataset)
    functions: dict[str, Function] = {}
    for name, count in (('views', 0), ('views and LiDAR', args.views)):
        hook = ViewRetrievalHook(dict(train={}), lidar_views=count, lidar_images=args.images)
        functions[name] = partial(hook._measure, runner, model, loader)
    z = torch.randn(args.images, args.views, model.neck.out_channels, device=args.device)
    functions['eigenvalues'] = partial(lidar, z)
    times = alternate(functions, args.device, args.repeats)
    times['LiDAR'] = [both - views for both, views in zip(times['views and LiDAR'], times['views'], strict=True)]
    seconds = {name: median(times[name]) / args.images for name in ('views', 'LiDAR', 'eigenvalues')}
    return [dict(monitor=name, seconds=value, share=value / step_per_image) for name, value in seconds.items()]


def _step(method: str, setting: options.Setting, args: argparse.Namespace, data: dict) -> tuple[Any, Function]:
    torch.manual_seed(0)
    model, wrapper = build(method, setting.depth, args.device)
    start_cache(model, args.repeats + 2)
    return model, full_step(model, wrapper, data)


def _labeled_list(folder: Path, count: int, classes: int) -> PretrainDataset:
    """Return a data set of images that do not exist, with labels in a list, as ``lewel pretrain`` writes them."""
    (folder / 'images.txt').write_text(''.join(f'{i}.jpg\n' for i in range(count)))
    (folder / 'bank.txt').write_text(''.join(f'{i}.jpg\t{i % classes}\n' for i in range(count)))
    return PretrainDataset(ImageList(str(folder / 'images.txt'), label_file=str(folder / 'bank.txt')), labels=False)


def _runner(model: Any, dataset: PretrainDataset) -> Any:
    hub, logger = MessageHub.get_current_instance(), MMLogger.get_current_instance()
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(model=model, train_dataloader=loader, val_loop=None, message_hub=hub, logger=logger, iter=0)


def _with_hook(hook: Any, runner: Any, data: dict, step: Function) -> Function:
    def run() -> None:
        hook.before_train_iter(runner, 0, data)
        step()
        hook.after_train_iter(runner, 0, data)
        runner.iter += 1

    return run


def _output_of(model: Any, name: str, data: dict) -> Any:
    """Return what a hook reads: an output of the backbone, or of the neck."""
    with torch.no_grad():
        feature = model.backbone(model.data_preprocessor(data, True)['inputs'][0])
        return feature if name == 'probe' else model.neck(feature)


def _alone(hook: Any, runner: Any, data: dict, output: Any) -> Function:
    def run() -> None:
        for _ in range(CALLS):
            if isinstance(hook, OnlineProbeHook):
                hook._known.fill(_UNREAD)  # so that it reads them as in the first epoch
            hook.before_train_iter(runner, 0, data)
            for _ in range(2):  # views
                hook._capture(None, (), output)
            hook.after_train_iter(runner, 0, data)

    return run
