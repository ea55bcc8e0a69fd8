"""A stand-in for tools/train.py that logs a made-up k-NN accuracy as mmengine does, and resumes, without a model."""

import argparse
import json
import runpy
import signal
import sys
import time
from pathlib import Path


def stop(*_: object) -> None:
    print('stopped by the signal', flush=True)
    sys.exit(75)


def wait(seconds: float) -> None:
    """Sleep in short pieces: Python handles a signal that arrives just before a sleep only after it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.05, seconds))


signal.signal(signal.SIGTERM, stop)
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('--work-dir', type=Path)
parser.add_argument('--resume', action='store_true')
args = parser.parse_args()

cfg = runpy.run_path(args.config)
max_iters = cfg['train_cfg']['max_iters']
state = args.work_dir / 'state.json'
first = json.loads(state.read_text())['iter'] + 1 if args.resume and state.is_file() else 1
session = args.work_dir / f'{len(list(args.work_dir.glob("*/vis_data"))):08d}' / 'vis_data'
session.mkdir(parents=True)
with (args.work_dir / 'starts.txt').open('a') as starts:
    print(first, file=starts)
with (session / 'scalars.json').open('a') as scalars:
    for i in range(first, max_iters + 1):
        wait(cfg.get('pause', 0))
        if i == cfg.get('crash_at'):
            sys.exit('made to crash')
        knn = cfg['level'] + cfg['randomness']['seed'] ** 2 + i
        print(json.dumps(dict(loss=1 / i, lr=0.1, iter=i, step=i)), file=scalars)
        print(json.dumps({'knn/top1': knn, 'step': i}), file=scalars, flush=True)
        print(f'mmengine - INFO - Iter(train) [{i}/{max_iters}]  eta: 0:00:07  loss: 0.1', flush=True)
        (args.work_dir / f'iter_{i}.pth').write_text(str(knn))
        (args.work_dir / 'last_checkpoint').write_text(f'/moved/from/iter_{i}.pth')
        state.write_text(json.dumps(dict(iter=i)))
