"""A picture of a comparison's rows, from its results: a panel per measure, a dot per seed.

python tools/measurements/rows_picture.py docs/results/all-methods_garment-scenes.json \
    docs/images/results-garment-scenes.png --measures evaluation/knn/top1_k20="20-NN, %" \
    evaluation/linear/top1="linear, %" evaluation/semi_1pct/top1="1 % of labels, %" \
    evaluation/mask_rcnn/coco/bbox_mAP="box AP"

`tools/compare.py` draws the same for comparisons that measure at the end of a training only.
"""

import argparse
import sys
from pathlib import Path

from lewel_plugins.comparison.figure import draw_rows
from lewel_plugins.comparison.spec import Metric
from lewel_plugins.comparison.table import from_json
from lewel_plugins.files import read_json


def _measure(text: str) -> Metric:
    key, _, label = text.partition('=')
    return Metric(key, label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', type=Path, help='json file of a comparison')
    parser.add_argument('picture', type=Path, help='png file to write')
    parser.add_argument('--measures', nargs='+', type=_measure, required=True, metavar='KEY=HEADING')
    args = parser.parse_args()
    record = read_json(args.results)
    if record is None:
        sys.exit(f'error: {args.results} cannot be read')
    known = sorted({key for row in record['rows'] for values in row['values'].values() for key in values})
    unknown = [metric.key for metric in args.measures if metric.key not in known]
    if unknown:
        sys.exit(f'error: {args.results} has no measure {unknown[0]!r}; it has {", ".join(known)}')
    draw_rows(from_json(record, args.measures), args.picture)


if __name__ == '__main__':
    main()
