"""Linear SVMs on a checkpoint's features, mAP by VOC07's rule: ``voc_svm.py CONFIG CKPT [--json FILE]``.

Trains with all images and with few per class, as set in a config under configs/benchmarks/svm.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from lewel_plugins.errors import SetupError
from lewel_plugins.evaluation.extraction import extract_features, plain_loader
from lewel_plugins.evaluation.linear_probe import build_classifier
from lewel_plugins.evaluation.svm import SVMBenchmark, voc_targets
from lewel_plugins.files import file_digest, write_json
from lewel_plugins.running import provenance, setup
from lewel_plugins.running.command_line import add_config_options, merge_options
from lewel_plugins.running.entry_point import run_main


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Linear SVMs on a checkpoint's features, mAP by VOC07's rule.")
    parser.add_argument('config', help='config under configs/benchmarks/svm')
    parser.add_argument('checkpoint', help='checkpoint of a pretraining, or an exported backbone')
    parser.add_argument(
        '--seed', type=int, help='seed of the folds and of the choice of few images (default: from the config)'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='json file for the results')
    add_config_options(parser)
    args = parser.parse_args()
    if find_spec('sklearn') is None:
        parser.error('the SVMs need scikit-learn: pip install scikit-learn')
    return args


def evaluate(cfg: Config) -> dict[str, Any]:
    """Return the mAP with all training images and, per number of shots, with few."""
    model = build_classifier(cfg, seed=0)
    sets = []
    for name in ('train', 'test'):
        loader = plain_loader(cfg[f'{name}_dataloader'])
        features = extract_features(model, loader, f'features, {name}', labeled=False)
        sets.append((features.feat, voc_targets(loader.dataset)))
    benchmark = SVMBenchmark(sets[0], sets[1], cfg.svm.seed)
    low_shot = {str(n): benchmark.low_shot(n, cfg.svm.draws, cfg.svm.low_shot_cost) for n in cfg.svm.shots}
    return dict(full=benchmark.full(cfg.svm.costs, cfg.svm.folds), low_shot=low_shot)


def main() -> None:
    args = parse_args()
    cfg = setup.load_config(args.config)
    merge_options(cfg, args.cfg_options)
    if 'svm' not in cfg:
        raise SetupError(f'{args.config} has no svm = dict(...): see configs/benchmarks/svm')
    MMLogger.get_instance('mmengine', log_level='WARNING')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    cfg.model.checkpoint = args.checkpoint
    if args.seed is not None:
        cfg.svm.seed = args.seed
    results = evaluate(cfg)
    print("| images per class | mAP, % (VOC07's rule) | mAP, % (area) |\n|---|---|---|")
    for shots, result in results['low_shot'].items():
        print(f'| {shots} | {result["map"]:.2f} ± {result["std"]:.2f} | {result["map_area"]:.2f} |')
    print(f'| all | {results["full"]["map"]:.2f} | {results["full"]["map_area"]:.2f} |')
    if args.json:
        source = dict(checkpoint=args.checkpoint, checkpoint_sha256=file_digest(args.checkpoint))
        write_json(args.json, dict(results, seed=cfg.svm.seed, **source, **provenance.record()))


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
