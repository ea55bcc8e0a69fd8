"""A backbone as an ONNX file."""

import inspect
import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .formats.check import random_images

OPSET = 17
TOLERANCE = 1e-4  # share of the largest feature; other kernels add in another order over all layers


class _LastFeature(nn.Module):
    """A backbone that returns its last feature alone."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1]


def require_onnx() -> None:
    """Refuse an export without onnx.

    Raises:
        SetupError: It is not installed; states how to install it.
    """
    if find_spec('onnx') is None:
        raise SetupError('an export to onnx needs onnx, which is not installed: pip install onnx onnxruntime')


def write_onnx(file: Path, backbone: nn.Module, meta: dict[str, Any]) -> None:
    """Write a backbone with its last feature as output.

    The input ``images`` (N, 3, H, W) is normalized as ``data_preprocessor`` in the file's metadata records, the output
    ``features`` is the last map (N, D, H', W') or vector. N may be any number; H and W, too, unless the backbone needs
    one size.

    Args:
        file: File to write.
        backbone: The backbone, in eval mode.
        meta: Facts to record.

    Raises:
        SetupError: The backbone cannot be exported.
    """
    import onnx

    axes = {0: 'N'} if _has_one_size(backbone) else {0: 'N', 2: 'H', 3: 'W'}
    # The exporter of torch 2.5 and later needs onnxscript, too, and writes large weights to a second file.
    older: dict[str, Any] = dict(dynamo=False) if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            torch.onnx.export(
                _LastFeature(backbone).eval(),
                (random_images(backbone),),
                str(file),
                input_names=['images'],
                output_names=['features'],
                dynamic_axes={'images': axes, 'features': {0: 'N'} if len(axes) == 1 else axes},
                opset_version=OPSET,
                **older,
            )
        except Exception as error:  # torch has many errors for operations without an equivalent
            name = type(backbone).__name__
            raise SetupError(f'{name} cannot be exported to onnx: {" ".join(str(error).split())[:300]}') from None
    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in meta.items()})
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _has_one_size(backbone: nn.Module) -> bool:
    return getattr(backbone, 'img_size', None) is not None or hasattr(backbone, 'patch_resolution')


@torch.no_grad()
def check_onnx(file: Path, backbone: nn.Module) -> tuple[float | None, str]:
    """Run the file and compare its features with those of the backbone.

    Args:
        file: The file.
        backbone: The backbone, in eval mode.

    Returns:
        The largest difference, or None without onnxruntime, and a remark.

    Raises:
        SetupError: The features differ by more than rounding.
    """
    remark = f'ONNX opset {OPSET}; input images (N, 3, H, W), normalized, output features.'
    if find_spec('onnxruntime') is None:
        return None, f'{remark} onnxruntime is not installed, so that no features were compared.'
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read_bytes(), providers=['CPUExecutionProvider'])
    images = random_images(backbone)
    batches = [images] if _has_one_size(backbone) else [images, images[:1, :, :, : images.shape[3] // 2]]
    difference = 0.0
    for batch in batches:
        expected = backbone(batch)[-1]
        output = torch.from_numpy(session.run(None, {'images': batch.numpy()})[0])
        if output.shape != expected.shape:
            raise SetupError(
                f'the ONNX file returns features of shape {tuple(output.shape)}, not {tuple(expected.shape)}'
            )
        largest = (output - expected).abs().max().item()
        if not largest <= TOLERANCE * expected.abs().max().item():
            raise SetupError(f'the ONNX file returns other features, which differ by up to {largest:.3g}')
        difference = max(difference, largest)
    return difference, remark
