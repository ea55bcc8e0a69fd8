"""The run that ``lewel worth --pretrained`` judges: what it has to be, and the network that it is compared with."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lewel_plugins.errors import SetupError
from lewel_plugins.payoff.settings import Settings
from lewel_plugins.planning.findings import show

from .run_folder import START, RunFolder

if TYPE_CHECKING:
    from mmengine.config import Config

    from lewel_plugins.checkpoints import StartingWeights

_NETWORK = ('backbone', 'image_size')  # what both arms share


def check_run(path: str, weights: str | None, settings: Settings) -> None:
    """Refuse a run that is no finished pretraining, or none that answers the question.

    Args:
        path: What ``--pretrained`` names.
        weights: What ``--from`` names; None without.
        settings: Settings of the experiment.

    Raises:
        SetupError: It is such a run.
    """
    run, name = RunFolder(path), f'--pretrained {show(path)}'
    if run.is_new:
        raise SetupError(f'{name} is not the folder of a run of lewel pretrain')
    record = run.record()
    request, plan = record['request'], record.get('plan')
    if not isinstance(plan, Mapping) or not {'method', *_NETWORK} <= set(plan):
        command = 'worth' if 'experiment' in record else 'finetune'
        raise SetupError(f'{name} is a folder of lewel {command}; give one of lewel pretrain')
    if not run.is_finished:
        raise SetupError(f'{name} is not finished; repeat its lewel pretrain command first')
    start = request.get('from')
    if weights is None and start is not None:
        raise SetupError(f'{name} continued from {show(start)}; add --from {show(start)}, which it is compared with')
    if weights is not None and start is None:
        raise SetupError(f'{name} began with random weights, not with {show(weights)}; leave out --from')
    for key in _NETWORK:
        wanted, own = getattr(settings, key), plan[key]['value']
        if wanted is not None and wanted != own:
            raise SetupError(f'{name} has {key} {own}, not {wanted}; leave out --set {key}={wanted}')


def check_start(path: str, weights: 'StartingWeights') -> None:
    """Refuse a run that did not start from the weights of ``--from``.

    Args:
        path: Folder of the run.
        weights: The weights of ``--from``.

    Raises:
        SetupError: Its ``start/weights.pth`` cannot be read, or holds others.
    """
    from lewel_plugins.checkpoints import read_starting_weights

    file = RunFolder(path) / START
    own = read_starting_weights(os.fspath(file)).state
    is_same = own.keys() == weights.state.keys() and all(
        own[name].shape == tensor.shape and bool((own[name] == tensor).all()) for name, tensor in weights.state.items()
    )
    if not is_same:
        raise SetupError(
            f'--pretrained {show(path)} did not start from the weights of --from {show(weights.name)}; name those that '
            f'it started from, or {show(file)}'
        )


def network_config(path: str) -> 'Config':
    """Return the config of a run with random weights in the place of those that it started from.

    Args:
        path: Folder of the run.
    """
    run = RunFolder(path)
    config = run.config()
    config.model.backbone.pop('init_cfg', None)
    config.image_size = run.planned('image_size')
    return config


def with_images(config: 'Config', images: Mapping[str, Any], count: int) -> 'Config':
    """Return a config whose steps are of other images, of which there may be fewer.

    Args:
        config: The config.
        images: Config of the data set, without pipeline.
        count: Number of the images.
    """
    loader = config.train_dataloader
    loader.dataset.dataset = dict(images, pipeline=loader.dataset.dataset.pipeline)
    loader.batch_size = min(loader.batch_size, count)
    return config
