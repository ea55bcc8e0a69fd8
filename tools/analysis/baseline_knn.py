"""k-NN accuracy of raw pixels and of random initialisations: ``python tools/analysis/baseline_knn.py CONFIG``.

What a pretrained backbone has to beat, on the bank and query set of the config's validation.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, set_random_seed
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from lewel_plugins.checkpoints import model_config
from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation import KNNMetric
from lewel_plugins.evaluation.feature_loop import labels_and_indices
from lewel_plugins.models.features import pooled_features, preprocessed_images
from lewel_plugins.registry import METRICS
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options

PIXELS = 32
ROWS = ('raw pixels', 'random initialisation')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='k-NN accuracy of raw pixels and of random initialisations.')
    parser.add_argument('config', help='config whose val_cfg is a FeatureValLoop with a KNNMetric')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='of the initialisations (0 1 2)')
    parser.add_argument(
        '--out', type=Path, help='json file to write (default: baseline_knn.json in the work dir of the config)'
    )
    add_config_options(parser)
    return parser.parse_args()


def raw_pixels(model: BaseModel, data_batch: dict) -> Tensor:
    """The images as the backbone sees them, flattened; averaged down to 32 pixels a side if they are larger."""
    images = preprocessed_images(model, data_batch)
    height, width = images.shape[2:]
    return F.adaptive_avg_pool2d(images, (min(PIXELS, height), min(PIXELS, width))).flatten(1)


def knn_metrics(cfg: Config) -> list[KNNMetric]:
    """The KNNMetrics of the config's validation."""
    entries = cfg.get('val_evaluator') or []
    entries = [entries] if isinstance(entries, dict) else entries
    found = [METRICS.build(entry) for entry in entries if 'KNNMetric' in entry['type']]
    if not found or 'bank_dataloader' not in (cfg.get('val_cfg') or {}):
        raise SetupError(
            'the config does not validate by k-NN: it needs val_cfg=dict(type="lewel_plugins.FeatureValLoop", '
            'bank_dataloader=...) and a lewel_plugins.KNNMetric in val_evaluator'
        )
    return found


@torch.no_grad()
def evaluate(
    features: Callable[[BaseModel, dict], Tensor],
    model: BaseModel,
    loaders: dict[str, DataLoader],
    metrics: list[KNNMetric],
    title: str,
) -> dict[str, float]:
    """All metrics of one kind of features."""
    for split, loader in loaders.items():
        feats, labels = [], []
        for data_batch in track(loader, f'{title}, {split}', total=len(loader)):
            feats.append(features(model, data_batch))
            labels += labels_and_indices(data_batch['data_samples'])[0]
        feat = torch.cat(feats)
        label = torch.tensor(labels, device=feat.device)
        sample_idx = torch.arange(len(feat), device=feat.device)
        for metric in metrics:
            metric.process(None, [dict(split=split, feat=feat, label=label, sample_idx=sample_idx)])
    return {name: value for metric in metrics for name, value in metric.evaluate(len(feat)).items()}


def build_model(cfg: Config, seed: int) -> BaseModel:
    """The config's model, freshly initialised."""
    set_random_seed(seed)
    model = MODELS.build(model_config(cfg))
    model.init_weights()
    model.to(get_device()).eval()
    return model


def main() -> None:
    args = parse_args()
    cfg = setup.load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    MMLogger.get_instance('mmengine', log_level='WARNING')  # init_weights prints a line a parameter
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    setup.set_work_dir(cfg, None)
    out = args.out or Path(cfg.work_dir) / 'baseline_knn.json'
    metrics = knn_metrics(cfg)
    loaders = {
        'bank': Runner.build_dataloader(cfg.val_cfg.bank_dataloader, seed=0),
        'query': Runner.build_dataloader(cfg.val_dataloader, seed=0),
    }
    results: dict[str, dict[str, list[float]]] = {row: {} for row in ROWS}
    for i, seed in enumerate(args.seeds):
        model = build_model(cfg, seed)
        runs = [(ROWS[1], pooled_features, f'random initialisation, seed {seed}')]
        if i == 0:
            runs.insert(0, (ROWS[0], raw_pixels, ROWS[0]))
        for row, features, title in runs:
            for name, value in evaluate(features, model, loaders, metrics, title).items():
                results[row].setdefault(name, []).append(value)
    print_table(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    described = dict(config=args.config, cfg_options={k: str(v) for k, v in args.cfg_options.items()})
    out.write_text(json.dumps({**described, 'seeds': args.seeds, **results}, indent=2) + '\n', encoding='utf-8')
    print(f'Written to {out}')


def print_table(results: dict[str, dict[str, list[float]]]) -> None:
    """Mean and spread (standard deviation over seeds) as a markdown table."""
    names = list(results[ROWS[0]])
    print('| features | ' + ' | '.join(f'{name}, %' for name in names) + ' |')
    print('|---|' + '---|' * len(names))
    for row, values in results.items():
        cells = [f'{mean(values[n]):.2f}' + (f' ± {stdev(values[n]):.2f}' if len(values[n]) > 1 else '') for n in names]
        print(f'| {row} | ' + ' | '.join(cells) + ' |')


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        raise SystemExit(f'error: {error}') from None
