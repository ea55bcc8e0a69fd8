"""k-NN accuracy of raw pixels and of random initializations: ``python tools/analysis/baseline_knn.py CONFIG``.

A pretrained backbone has to exceed these accuracies on the bank and query set of the config's validation.
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation import KNNMetric
from lewel_plugins.evaluation.extraction import extract_features
from lewel_plugins.evaluation.random_checkpoint import build_random_model
from lewel_plugins.models.features import pooled_features, raw_pixels
from lewel_plugins.registry import METRICS
from lewel_plugins.running import setup
from lewel_plugins.running.command_line import add_config_options, merge_options
from lewel_plugins.running.entry_point import run_main

RAW, RANDOM = 'raw pixels', 'random initialization'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='k-NN accuracy of raw pixels and of random initializations.')
    parser.add_argument('config', help='config whose val_cfg is a FeatureValLoop with a KNNMetric')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='seeds of the weights (default: 0 1 2)')
    parser.add_argument(
        '--out', type=Path, help='json file to write (default: baseline_knn.json in the work dir of the config)'
    )
    add_config_options(parser)
    return parser.parse_args()


def knn_metrics(cfg: Config) -> list[KNNMetric]:
    """Build every KNNMetric of the config's validation."""
    entries = cfg.get('val_evaluator') or []
    entries = [entries] if isinstance(entries, dict) else entries
    metrics = [METRICS.build(entry) for entry in entries if 'KNNMetric' in entry['type']]
    if not metrics or 'bank_dataloader' not in (cfg.get('val_cfg') or {}):
        raise SetupError(
            'the config does not validate by k-NN: it needs val_cfg=dict(type="lewel_plugins.FeatureValLoop", '
            'bank_dataloader=...) and a lewel_plugins.KNNMetric in val_evaluator'
        )
    return metrics


def measure(cfg: Config, seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies of raw pixels, and of one initialization per seed, by row and metric."""
    metrics = knn_metrics(cfg)
    loaders = {
        'bank': Runner.build_dataloader(cfg.val_cfg.bank_dataloader, seed=0),
        'query': Runner.build_dataloader(cfg.val_dataloader, seed=0),
    }
    results: dict[str, dict[str, list[float]]] = {RAW: {}, RANDOM: {}}
    for i, seed in enumerate(seeds):
        model = build_random_model(cfg, seed)
        runs = [(RANDOM, pooled_features, f'{RANDOM}, seed {seed}')]
        if i == 0:
            runs.insert(0, (RAW, raw_pixels, RAW))
        for row, measure, title in runs:
            splits = {
                split: extract_features(model, loader, f'{title}, {split}', measure=measure)
                for split, loader in loaders.items()
            }
            for metric in metrics:
                for name, value in metric.compute_features(splits).items():
                    results[row].setdefault(f'{metric.prefix}/{name}', []).append(value)
    return results


def print_table(results: dict[str, dict[str, list[float]]]) -> None:
    """Print mean and spread (standard deviation over seeds) as a markdown table."""
    names = list(results[RAW])
    print('| features | ' + ' | '.join(f'{name}, %' for name in names) + ' |')
    print('|---|' + '---|' * len(names))
    for row, values in results.items():
        cells = [f'{mean(values[n]):.2f}' + (f' ± {stdev(values[n]):.2f}' if len(values[n]) > 1 else '') for n in names]
        print(f'| {row} | ' + ' | '.join(cells) + ' |')


def main() -> None:
    args = parse_args()
    cfg = setup.load_config(args.config)
    merge_options(cfg, args.cfg_options)
    MMLogger.get_instance('mmengine', log_level='WARNING')  # init_weights logs one line per parameter
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    setup.set_work_dir(cfg, None)
    out = args.out or Path(cfg.work_dir) / 'baseline_knn.json'
    results = measure(cfg, args.seeds)
    print_table(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    source = dict(config=args.config, cfg_options={k: str(v) for k, v in args.cfg_options.items()})
    out.write_text(json.dumps({**source, 'seeds': args.seeds, **results}, indent=2) + '\n', encoding='utf-8')
    print(f'Written to {out}')


if __name__ == '__main__':
    run_main(main)
