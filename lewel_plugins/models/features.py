"""What is measured of a model: pooled backbone features, and the neck's embeddings."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor


def preprocessed_images(model: BaseModel, data_batch: dict) -> Tensor:
    """Images of a batch as the model's data preprocessor makes them outside training.

    Args:
        model: Any OpenMMLab model.
        data_batch: What the dataloader gave; ``inputs`` is (N, 3, H, W), or a list of N images (3, H, W).

    Returns:
        Images, (N, 3, H, W).

    Raises:
        ValueError: The pipeline makes several views.
    """
    images = data_batch['inputs']
    if isinstance(images, Sequence) and images[0].ndim == 3:  # pseudo_collate
        data_batch = {**data_batch, 'inputs': torch.stack(list(images))}
    inputs = model.data_preprocessor(data_batch, False)['inputs']
    if isinstance(inputs, Sequence):
        if len(inputs) != 1:
            raise ValueError(f'one view of an image is measured, but the evaluation pipeline makes {len(inputs)}')
        inputs = inputs[0]
    return inputs


def pooled_features(model: BaseModel, data_batch: dict) -> Tensor:
    """Features of a batch from the model's backbone.

    Args:
        model: Model with a ``backbone``, in eval mode.
        data_batch: As for :func:`preprocessed_images`.

    Returns:
        As :func:`pooled`, (N, D) float32.

    Raises:
        ValueError: The pipeline makes several views, or the output is neither (N, D) nor (N, D, H, W).
    """
    return pooled(model.backbone(preprocessed_images(model, data_batch)))


def pooled(out: Tensor | Sequence[Tensor]) -> Tensor:
    """A backbone's last output, averaged over positions if it is a map, (N, D) float32.

    Raises:
        ValueError: It is neither (N, D) nor (N, D, H, W).
    """
    out = out[-1] if isinstance(out, Sequence) else out
    if not isinstance(out, Tensor) or out.ndim not in (2, 4):
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f'the backbone must end in (N, D) or (N, D, H, W) features, got {shape}; '
            "for a ViT of mmpretrain set out_type to 'cls_token', 'avg_featmap' or 'featmap'"
        )
    return out.float().mean((2, 3)) if out.ndim == 4 else out.float()


def embeddings(out: Tensor | Sequence[Tensor]) -> Tensor:
    """A neck's embeddings: its first output, (N, d); of M projectors, (M, N, d), unit embeddings side by side, (N, Md).

    Raises:
        ValueError: The output has another shape.
    """
    z = out if isinstance(out, Tensor) else out[0]
    if z.ndim == 3:
        z = F.normalize(z.float(), dim=2).transpose(0, 1).flatten(1)
    if z.ndim != 2:
        raise ValueError(f'embeddings are (N, d), or (M, N, d) of M projectors, but the neck gave {tuple(z.shape)}')
    return z
