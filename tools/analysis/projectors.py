"""Draw MPCL's projectors over training: ``python tools/analysis/projectors.py WORK_DIR``.

The figure shows accuracies, weights, and the mean cosines and CKA between projectors, as curves and as matrices at
several times.
"""

import argparse
from pathlib import Path

from lewel_plugins.running.entry_point import run_main
from lewel_plugins.visualization.curves import read_curves
from lewel_plugins.visualization.projectors import draw_projectors


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Draw an MPCL run's accuracies, weights, cosines and CKA as one figure."
    )
    parser.add_argument('work_dir', type=Path, help='folder of a run with MPCLReweightHook')
    parser.add_argument('--out', type=Path, help='figure to write (default: projectors.png in the work dir)')
    args = parser.parse_args()
    out = args.out or args.work_dir / 'projectors.png'
    figure = draw_projectors(read_curves(args.work_dir))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f'Projectors written to {out}')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)
