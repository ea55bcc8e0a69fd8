"""Weights to start from, whoever has written them: find out which network they are of."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.registry import DefaultScope
from torch import Tensor

from lewel_plugins.errors import SetupError
from lewel_plugins.files import write_checkpoint

from .compare import StateDifference, compare_states
from .configs import DEFAULT_SCOPE, backbone_config, normalization
from .loading import build_backbone
from .reading import local_file, read_pretrained

if TYPE_CHECKING:
    from .formats import Format

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
PREFIX = 'backbone.'
_TORCHVISION = 'torchvision:'
_RESNET10 = 'lewel_plugins.ResNet10'
_LIBRARIES = ('torchvision', 'timm')
# The first layer of each family of networks, by which the prefix of names in a file is found.
_FIRST_LAYERS = ('conv1.weight', 'patch_embed.proj.weight', 'features.0.0.weight')
_WRAPPERS = ('state_dict', 'model', 'model_state_dict')


@dataclass(frozen=True)
class StartingWeights:
    """The weights of a backbone, and what is known of them.

    Args:
        name: How the user named them.
        source: Where they come from, in words.
        settings: Config of OpenMMLab's backbone.
        state: Its tensors.
        normalization: ``mean`` and ``std`` of the images that they were trained on, in RGB; None if unknown.
        file: Their file, if the name is that of a folder.
    """

    name: str
    source: str
    settings: dict[str, Any]
    state: dict[str, Tensor]
    normalization: dict[str, Any] | None
    file: str = ''

    def write(self, path: str | Path) -> None:
        """Write them such that ``init_cfg=dict(type='Pretrained', checkpoint=path, prefix='backbone.')`` loads them."""
        write_checkpoint(path, self.content())

    def content(self) -> dict[str, Any]:
        """Return the content of such a file."""
        preprocessor: dict[str, Any] | None = dict(self.normalization, to_rgb=True) if self.normalization else None
        source = os.path.basename(self.file or self.name)
        meta = dict(backbone=self.settings, data_preprocessor=preprocessor, source=source)
        state = {f'{PREFIX}{name}': tensor for name, tensor in self.state.items()}
        return dict(meta=meta, state_dict=state)


def read_starting_weights(
    name: str, path: str | Path | None = None, say: Callable[[str], None] = print
) -> StartingWeights:
    """Read the weights of a backbone without running code of the file, and recognize its library and architecture.

    Args:
        name: A file of this package, mmpretrain, torchvision, timm, or a library that writes their names, such as
            LightlyTrain; or ``torchvision:ARCH.WEIGHTS``, which is downloaded once; or an address, see
            :func:`local_file`.
        path: The file, if the user has named it by something else, such as the folder of a training.
        say: Is called with a line before a download.

    Raises:
        SetupError: They cannot be read, are of no known architecture, were trained on images in BGR, or a tensor is
            missing or has another shape.
    """
    if name.startswith(_TORCHVISION):
        return _from_torchvision(name, say)
    file = str(name if path is None else path)
    checkpoint, state = read_pretrained(file)
    tensors = _tensors(state)
    if any(key.startswith(PREFIX) for key in tensors):
        return replace(_from_openmmlab(name, checkpoint, tensors), file=file)
    for wrapper in _WRAPPERS:
        if isinstance(checkpoint.get(wrapper), dict):
            tensors = _tensors(checkpoint[wrapper])
    return replace(_from_library(name, tensors), file=file)


def _tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _from_torchvision(name: str, say: Callable[[str], None]) -> StartingWeights:
    from torchvision.models import get_model_weights

    arch, _, weights = name.removeprefix(_TORCHVISION).partition('.')
    try:
        url = get_model_weights(arch)[weights].url
    except (ValueError, KeyError):
        raise SetupError(
            f'torchvision has no weights {name.removeprefix(_TORCHVISION)!r}; name them as in '
            'torchvision:resnet50.IMAGENET1K_V1'
        ) from None
    say(f'note: {name} is downloaded from {url}, unless it has been before')
    _, state = read_pretrained(str(local_file(url)))
    return _from_library(name, state)


def _from_openmmlab(name: str, checkpoint: dict[str, Any], tensors: dict[str, Tensor]) -> StartingWeights:
    state = {key[len(PREFIX) :]: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict) or not (isinstance(meta.get('cfg'), str) or isinstance(meta.get('backbone'), dict)):
        return StartingWeights(name, 'OpenMMLab', _own_settings(name, state), state, _normalization(name, checkpoint))
    settings = backbone_config(checkpoint, name)
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        expected = build_backbone(settings, name).state_dict()
    difference = compare_states(expected, state, optional=_is_count)
    if difference:
        raise SetupError(f'{name} does not hold the backbone of its config: {difference.describe(limit=5)}')
    return StartingWeights(name, 'OpenMMLab', settings, state, _normalization(name, checkpoint))


def _normalization(name: str, checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """Return how images were normalized.

    Raises:
        SetupError: They were in BGR, whereas what starts from the weights has images in RGB.
    """
    values = normalization(checkpoint)
    if values and values.get('to_rgb') is False:
        raise SetupError(f'{name} was trained with to_rgb=False, on images in BGR; only weights for RGB are accepted')
    return values


def _own_settings(name: str, state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the config of a backbone under OpenMMLab's names whose file has none.

    Raises:
        SetupError: It is of no known network.
    """
    differences = []
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        for settings in _own_architectures(state):
            difference = compare_states(build_backbone(settings, name).state_dict(), state, optional=_is_count)
            if not difference:
                return settings
            text = ' '.join(str(value).removeprefix('mmpretrain.') for value in settings.values())
            differences.append((_size(difference), f'{text}: {difference.describe(limit=3)}'))
    raise SetupError(f'{name} is of no network that is known here; the nearest is {min(differences)[1]}')


def _own_architectures(state: dict[str, Tensor]) -> list[dict[str, Any]]:
    from .formats import resnet, swin, vit

    if 'cls_token' in state:
        return list(vit.ARCHITECTURES.values())
    if 'conv1.weight' not in state:
        return list(swin.ARCHITECTURES.values())
    plain = list(resnet.ARCHITECTURES.values())
    return [*plain, *(dict(settings, type='mmpretrain.ResNet_CIFAR') for settings in plain), dict(type=_RESNET10)]


def _size(difference: StateDifference) -> int:
    return len(difference.missing) + len(difference.unexpected) + len(difference.reshaped)


def _is_count(name: str) -> bool:
    return name.endswith('num_batches_tracked')  # affects no forward pass, and old files lack it


def _from_library(name: str, tensors: dict[str, Tensor]) -> StartingWeights:
    from .formats import find_format

    theirs = _without_prefix(name, tensors)
    differences = []
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        for arch, settings in _architectures(theirs).items():
            backbone = build_backbone(settings, name)
            for library in _LIBRARIES:
                state, difference = _fit(find_format(backbone, library), backbone, theirs)
                if not difference:
                    source = f'{arch} of {library}'
                    return StartingWeights(name, source, dict(settings), state, dict(IMAGENET))
                differences.append((_size(difference), f'{arch} of {library}: {difference.describe(limit=3)}'))
    raise SetupError(f'{name} is of no network that is known here; the nearest is {min(differences)[1]}')


def _fit(form: 'Format', backbone: Any, theirs: dict[str, Tensor]) -> tuple[dict[str, Tensor], StateDifference]:
    """Return tensors of a library under OpenMMLab's names, and in what they differ from those of a backbone."""
    expected = backbone.state_dict()
    try:
        state = form.import_state(theirs)
    except (KeyError, RuntimeError, ValueError, IndexError):  # they are of a network of another family
        return {}, StateDifference(missing=list(expected))
    is_table = form.ours_only or ('\0',)
    return state, compare_states(expected, state, optional=lambda key: _is_count(key) or key.endswith(is_table))


def _without_prefix(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the one network in a file, named from its first layer on."""
    prefixes = sorted(
        {
            key[: -len(layer)]
            for key in tensors
            for layer in _FIRST_LAYERS
            if key.endswith(layer) and not any(part in key for part in ('layer', 'layers.', 'blocks.'))
        }
    )
    if not prefixes:
        raise SetupError(
            f'{name} holds no backbone: no tensor of it is named like a first layer ({", ".join(_FIRST_LAYERS)})'
        )
    if len(prefixes) > 1:
        raise SetupError(f'{name} holds several networks ({", ".join(prefixes)}); save one of them')
    return {key[len(prefixes[0]) :]: value for key, value in tensors.items() if key.startswith(prefixes[0])}


def _architectures(theirs: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return the architectures of the family that the names of some tensors belong to."""
    from .formats import resnet, swin, vit

    if 'conv1.weight' in theirs:
        return resnet.ARCHITECTURES
    return vit.ARCHITECTURES if 'cls_token' in theirs else swin.ARCHITECTURES
