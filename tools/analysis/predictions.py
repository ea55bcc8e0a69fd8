"""Draw a detector's boxes and masks, or a segmenter's classes, on validation images beside the truth.

python tools/analysis/predictions.py CONFIG CHECKPOINT --out predictions.png
"""

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope

from lewel_plugins.checkpoints import build_model, read_tensors
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options, merge_options
from lewel_plugins.running.entry_point import run_main
from lewel_plugins.visualization.images import evenly_spaced
from lewel_plugins.visualization.predictions import draw_predictions


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of mmdet or mmseg')
    parser.add_argument('checkpoint', help="checkpoint of the config's model")
    parser.add_argument('--out', type=Path, default=Path('predictions.png'), help='figure to write')
    parser.add_argument(
        '--images', type=int, default=8, metavar='N', help='number of images, spread evenly over the set (default: 8)'
    )
    parser.add_argument('--min-score', type=float, default=0.3, help='minimum score of a detection (default: 0.3)')
    add_config_options(parser)
    args = parser.parse_args()
    if args.images < 1:
        parser.error(f'--images must be at least 1, got {args.images}')
    return args


def array(value: Any) -> np.ndarray:
    """Convert a tensor, or boxes or masks of mmdet, to an array."""
    if hasattr(value, 'to_ndarray'):
        return value.to_ndarray()
    return getattr(value, 'tensor', value).detach().cpu().numpy()


def instances(data: Any, min_score: float = 0.0) -> dict[str, Any]:
    """Return boxes, labels, scores and masks of an ``InstanceData`` of mmdet."""
    is_strong: np.ndarray = np.ones(len(data.labels), bool)
    if 'scores' in data:
        is_strong = array(data.scores) >= min_score
    entries = dict(boxes=array(data.bboxes)[is_strong], labels=array(data.labels)[is_strong])
    for name in ('scores', 'masks'):
        if name in data:
            entries[name] = array(data[name])[is_strong]
    return entries


def to_sample(data: dict[str, Any], result: Any, min_score: float) -> dict[str, Any]:
    """Return an entry for :func:`draw_predictions` from an item of a dataset and the result of the model."""
    image = data['inputs'].numpy()[::-1].transpose(1, 2, 0)  # OpenMMLab's order is BGR
    # Predictions, and the truth of a test pipeline, refer to pixels of the file.
    height, width = result.ori_shape[:2]
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    image = image[rows][:, columns]
    if 'pred_sem_seg' in result:
        truth, prediction = (array(pixels.data)[0] for pixels in (result.gt_sem_seg, result.pred_sem_seg))
        return dict(image=image, truth=truth, prediction=prediction)
    return dict(
        image=image,
        truth=instances(result.gt_instances),
        prediction=instances(result.pred_instances, min_score),
    )


@torch.no_grad()
def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='WARNING')
    cfg = setup.load_config(args.config)
    merge_options(cfg, args.cfg_options)
    init_default_scope(cfg.default_scope)
    __import__(f'{cfg.default_scope}.utils', fromlist=['register_all_modules']).register_all_modules()
    model = build_model(cfg, read_tensors(args.checkpoint), args.checkpoint)
    dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
    items = [dataset[i] for i in evenly_spaced(len(dataset), args.images)]
    results = model.test_step(pseudo_collate(copy.deepcopy(items)))
    samples = [to_sample(item, result, args.min_score) for item, result in zip(items, results)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw_predictions(samples, dataset.metainfo['classes']).savefig(args.out)
    print(f'{len(items)} images drawn to {args.out}')


if __name__ == '__main__':
    run_main(main)
