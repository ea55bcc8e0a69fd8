"""Write the online backbone of a checkpoint for another library, and compare the features of both."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from lewel_plugins.errors import SetupError
from lewel_plugins.files import file_digest, replacing, write_checkpoint
from lewel_plugins.version import __version__

from .compare import compare_states
from .configs import backbone_config, config_of, converts_to_rgb, model_config
from .formats import find_format
from .formats.check import compare_features, random_images
from .loading import build_backbone, load_backbone
from .onnx_file import check_onnx, require_onnx, write_onnx
from .reading import local_file, read_tensors
from .safetensors_format import encode_safetensors, read_safetensors

LIBRARIES = ('openmmlab', 'torchvision', 'timm', 'mmdet', 'detectron2', 'safetensors', 'onnx')
OURS = ('openmmlab', 'safetensors')  # have OpenMMLab's network and names
PREFIX = 'backbone.'


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        file: The file.
        arch: Type of the backbone.
        num_tensors: Number of tensors.
        num_values: Numbers in all of them.
        difference: Largest difference between two features; None if they were not compared.
        remark: Why they were not compared, or what else to know; may be empty.
    """

    file: Path
    arch: str
    num_tensors: int
    num_values: int
    difference: float | None
    remark: str = ''

    def lines(self) -> list[str]:
        """Describe the file, and how the check went."""
        lines = [f'{self.num_tensors} tensors ({self.num_values:,} numbers) of {self.arch} written to {self.file}']
        if self.difference is not None:
            same = 'bit for bit' if self.difference == 0 else 'up to rounding'
            lines.append(
                f'A backbone loaded from it computes the same features, {same}: the largest difference is '
                f'{self.difference:.3g}.'
            )
        return [*lines, *filter(None, [self.remark])]


def export_backbone(path: str | Path, library: str, out: Path, config: Config | None = None) -> Exported:
    """Export the online backbone of a checkpoint.

    Args:
        path: Checkpoint of a training, or an exported or imported backbone; see :func:`local_file`.
        library: One of :data:`LIBRARIES`.
        out: File to write.
        config: Config of the training; None for the config in the checkpoint.

    Raises:
        SetupError: The checkpoint does not hold the backbone that it describes, the library has no equivalent of it,
            or the file has failed the check and is removed.
    """
    if library == 'onnx':
        require_onnx()
    checkpoint = local_file(str(path))
    settings, facts = _origin(read_tensors(checkpoint), checkpoint, config)
    backbone = build_backbone(settings, checkpoint)
    load_backbone(backbone, checkpoint, PREFIX)
    backbone.eval()  # some of OpenMMLab's overrides of eval() do not return the network
    meta = dict(
        arch=settings['type'],
        backbone=_plain(settings),
        **facts,
        source=checkpoint.name,
        source_sha256=file_digest(checkpoint),
        lewel_plugins_version=__version__,
    )
    tensors = _tensors(backbone, library)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    with replacing(out) as unchecked:
        if library == 'onnx':
            write_onnx(unchecked, backbone, meta)
            difference, remark = check_onnx(unchecked, backbone)
        else:
            _write(unchecked, library, tensors, meta)
            difference, remark = _check(settings, unchecked, library, backbone)
    return Exported(out, settings['type'], len(tensors), numbers, difference, remark)


def _tensors(backbone: nn.Module, library: str) -> dict[str, Tensor]:
    """Return the backbone's tensors under the names of the library."""
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    prefix = PREFIX
    if library not in (*OURS, 'onnx'):
        try:
            form = find_format(backbone, library)
        except SetupError as error:
            raise SetupError(f'{error}; safetensors and onnx take every backbone') from None
        state, prefix = form.export_state(state), form.prefix
    return {f'{prefix}{name}': tensor.contiguous() for name, tensor in state.items()}


def _plain(value: Any) -> Any:
    """Convert a config into plain containers, numbers and text, which ``torch.load(weights_only=True)`` accepts."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _input_size(preprocessor: dict[str, Any], cfg: dict[str, Any]) -> int | None:
    """Return the side of the first view of a training, in pixels.

    None unless ``BatchViews``, or ``LoadViews`` or ``MakeViews`` of the pipeline, makes the views.
    """
    try:
        dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
        pipeline = dataset.get('dataset', dataset).get('pipeline') or ()
        sizes = [part['views'][0]['size'] for part in (preprocessor, *pipeline) if part.get('views')]
    except (AttributeError, KeyError, TypeError):  # other pipelines, and configs of any kind
        return None
    return sizes[0] if sizes and type(sizes[0]) is int else None


def _origin(checkpoint: dict[str, Any], path: Path, config: Config | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config of the backbone, and the facts about its training that an export records.

    Args:
        checkpoint: Checkpoint of a training, or an exported or imported backbone, which holds both.
        path: Its file.
        config: Config of the training; None for the config in the checkpoint.

    Raises:
        SetupError: Neither describes a backbone.
    """
    meta = checkpoint.get('meta', {})
    if config is None and isinstance(meta.get('backbone'), dict):
        facts = ('data_preprocessor', 'input_size', 'method', 'config', 'epoch', 'iter')
        init_default_scope('mmpretrain')
        return backbone_config(checkpoint, path), {name: _plain(meta.get(name)) for name in facts}
    cfg = config_of(checkpoint, path) if config is None else config
    model = cfg.get('model') or {}
    if not isinstance(model, dict) or not isinstance(model.get('backbone'), dict):
        raise SetupError(f'the config of {path} has no model.backbone')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    preprocessor = model_config(cfg).get('data_preprocessor') or {}
    return dict(model['backbone']), dict(
        data_preprocessor=dict(
            mean=_plain(preprocessor.get('mean')),
            std=_plain(preprocessor.get('std')),
            to_rgb=converts_to_rgb(preprocessor, cfg) if preprocessor else None,
        ),
        input_size=_input_size(preprocessor, cfg),
        method=model.get('type'),
        config=str(meta.get('experiment_name', '')),
        epoch=_plain(meta.get('epoch')),
        iter=_plain(meta.get('iter')),
    )


def _write(file: Path, library: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write the tensors in the file format of the library."""
    if library == 'safetensors':
        file.write_bytes(encode_safetensors(tensors, {name: json.dumps(value) for name, value in meta.items()}))
    elif library == 'detectron2':
        # With matching_heuristics, its checkpointer matches res2.… with backbone.bottom_up.res2.…
        write_checkpoint(file, dict(model=tensors, matching_heuristics=True, __author__='lewel_plugins'))
    elif library in ('openmmlab', 'mmdet'):
        write_checkpoint(file, dict(meta=meta, state_dict=tensors))
    else:
        write_checkpoint(file, tensors)


def _read(file: Path, library: str) -> dict[str, Tensor]:
    """Read the tensors that :func:`_write` has written."""
    if library == 'safetensors':
        return read_safetensors(file)[0]
    content = torch.load(file, weights_only=True)
    return content.get('state_dict', content.get('model', content))


def _check(settings: dict[str, Any], file: Path, library: str, own: nn.Module) -> tuple[float | None, str]:
    """Return the largest difference between two features, and a remark."""
    if library in OURS:
        return _check_ours(settings, file, library, own), ''
    return _check_theirs(file, library, own)


@torch.no_grad()
def _check_ours(settings: dict[str, Any], file: Path, library: str, own: nn.Module) -> float:
    """Build the backbone anew, load the export as a user would, and compare its features with those of the checkpoint.

    Returns:
        The largest difference, which is 0.

    Raises:
        SetupError: The features differ.
    """
    backbone = build_backbone(settings, file)
    if library == 'openmmlab':
        # Load as init_cfg does, which is an argument that not every backbone has.
        initialize(backbone, dict(type='Pretrained', checkpoint=str(file), prefix=PREFIX))
    else:
        backbone.load_state_dict({n.removeprefix(PREFIX): tensor for n, tensor in _read(file, library).items()})
    backbone.eval()
    images = random_images(own)
    ours, theirs = backbone(images), own(images)
    if len(ours) != len(theirs) or not all(torch.equal(a, b) for a, b in zip(ours, theirs)):
        raise SetupError(f"a backbone loaded from {file} does not compute the checkpoint's features")
    return 0.0


def _check_theirs(file: Path, library: str, own: nn.Module) -> tuple[float | None, str]:
    """Convert the names back and compare the tensors; load the export into the library's own network and compare its
    features.

    Without the library only the first is done. For detectron2, the network is that of OpenMMLab behind its names.

    Returns:
        The largest difference between two features, and a remark.

    Raises:
        SetupError: Features or tensors differ.
    """
    form = find_format(own, library)
    tensors = {name.removeprefix(form.prefix): tensor for name, tensor in _read(file, library).items()}
    difference = compare_states(own.state_dict(), form.import_state(tensors), optional=lambda name: True, values=True)
    if difference:
        problems = difference.describe(limit=5)
        raise SetupError(f'the names in {file} do not convert back into those of the checkpoint: {problems}')
    if library != 'detectron2' and find_spec(library) is None:
        return None, (
            f'{library} is not installed, so that no features were compared; converted back, all tensors are those of '
            'the checkpoint.'
        )
    remark = 'The network that was compared is that of OpenMMLab behind the names of detectron2.'
    return compare_features(form, own, tensors), remark if library == 'detectron2' else ''
