"""The outputs of a model that are measured: pooled features of the backbone, and embeddings of the neck."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

_PIXELS = 32


def preprocessed_images(model: BaseModel, data_batch: dict) -> Tensor:
    """Return the images of a batch after the model's data preprocessor, as outside training.

    Args:
        model: Any OpenMMLab model.
        data_batch: Batch of a dataloader; ``inputs`` is (N, 3, H, W), or a list of N images (3, H, W).

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
            raise ValueError(f'an evaluation needs one view per image, but the evaluation pipeline makes {len(inputs)}')
        inputs = inputs[0]
    return inputs


def pooled_features(model: BaseModel, data_batch: dict) -> Tensor:
    """Return the pooled features of a batch from the model's backbone.

    Args:
        model: Model with a ``backbone``, in eval mode.
        data_batch: Batch of a dataloader, see :func:`preprocessed_images`.

    Returns:
        Result of :func:`pooled`, (N, D) float32.

    Raises:
        ValueError: The pipeline makes several views, or the output is neither (N, D) nor (N, D, H, W).
    """
    return pooled(model.backbone(preprocessed_images(model, data_batch)))


def neck_embeddings(model: BaseModel, data_batch: dict) -> Tensor:
    """Return the :func:`embeddings` of a batch from the model's neck, (N, d) float32.

    Args:
        model: Model with a ``backbone`` and a ``neck``, in eval mode.
        data_batch: Batch of a dataloader, see :func:`preprocessed_images`.
    """
    return embeddings(model.neck(model.backbone(preprocessed_images(model, data_batch)))).float()


def raw_pixels(model: BaseModel, data_batch: dict) -> Tensor:
    """Return the images as the backbone gets them, flattened, (N, 3HW). Sides above 32 are averaged down to 32."""
    images = preprocessed_images(model, data_batch)
    height, width = images.shape[2:]
    return F.adaptive_avg_pool2d(images, (min(_PIXELS, height), min(_PIXELS, width))).flatten(1)


def pooled(out: Tensor | Sequence[Tensor]) -> Tensor:
    """Return a backbone's last output, averaged over positions if it is a map, (N, D) float32.

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
    """Return the embeddings in a neck's output, (N, d).

    Of several outputs, the first counts. An output (M, N, d) of M projectors gives their unit embeddings side by side,
    (N, Md).

    Raises:
        ValueError: The output has another shape.
    """
    z = out if isinstance(out, Tensor) else out[0]
    if z.ndim == 3:
        z = F.normalize(z.float(), dim=2).transpose(0, 1).flatten(1)
    if z.ndim != 2:
        raise ValueError(
            f'embeddings must be (N, d), or (M, N, d) for M projectors, but the neck returned {tuple(z.shape)}'
        )
    return z
