"""What bad inputs are answered with: config values, shapes, missing files, wrong checkpoints. Prints a table."""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope

from lewel_plugins import functional as LF
from lewel_plugins.models import BatchViews, KeyQueue, LEWELNeck
from lewel_plugins.optim import LARS
from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
NECK = dict(type='lewel_plugins.LEWELNeck', in_channels=128, hid_channels=8, out_channels=8)
BACKBONE = dict(type='lewel_plugins.ResNet10')


def lewel_b(neck: dict | None = None, **options: object) -> torch.nn.Module:
    return MODELS.build(
        dict(type='lewel_plugins.LEWELB', backbone=BACKBONE, neck={**NECK, **(neck or {})}, hid_channels=8, **options)
    )


def folder(*names: str) -> dict:
    path = Path(tempfile.mkdtemp())
    for name in names:
        (path / name).touch()
    return dict(type='lewel_plugins.ImageTree', data_root=str(path), pipeline=[])


IN_PROCESS: list[tuple[str, Callable[[], object]]] = [
    ('LEWELNeck(num_groups=3), d = 8, D = 128', lambda: lewel_b(dict(num_groups=3))),
    ("LEWELNeck(alignment='lerned')", lambda: lewel_b(dict(alignment='lerned'))),
    ('LEWELNeck(hid_channels=0)', lambda: lewel_b(dict(hid_channels=0))),
    ('LEWELB(beta=1.5)', lambda: lewel_b(beta=1.5)),
    ('LEWELB(momentum=2)', lambda: lewel_b(momentum=2)),
    ("LEWELB(teacher_norm='syncbn')", lambda: lewel_b(teacher_norm='syncbn')),
    ('one view instead of two', lambda: lewel_b()([torch.randn(2, 3, 32, 32)], mode='loss')),
    ('neck of 64 channels on a map of 128', lambda: LEWELNeck(64, 8, 8)((torch.randn(2, 128, 4, 4),))),
    ('pooled features into LEWELNeck', lambda: LEWELNeck(64, 8, 8)((torch.randn(2, 64),))),
    ('aligned_info_nce of one image', lambda: LF.aligned_info_nce(torch.randn(1, 2, 3), torch.randn(1, 2, 3), 0.2)),
    ('info_nce(tau=0)', lambda: LF.info_nce(torch.randn(2, 3), torch.randn(2, 3), torch.randn(3, 4), 0)),
    ('20 keys into a queue of 16', lambda: KeyQueue(4, 16).enqueue(torch.randn(20, 4))),
    ('LARS(lr=-1)', lambda: LARS([torch.nn.Parameter(torch.ones(1))], lr=-1)),
    ('BatchViews(hue=0.7)', lambda: BatchViews(views=[dict(size=32, hue=0.7)])),
    ('folder without images', lambda: DATASETS.build(folder('notes.txt'))),
    ('missing folder', lambda: DATASETS.build({**folder(), 'data_root': '/no/such/folder'})),
]
COMMANDS: list[tuple[str, list[str]]] = [
    ('config that does not exist', ['configs/lewel/lewel-b_resnet10.py']),
    ('--resume of a missing checkpoint', [CONFIG, '--resume', 'nowhere.pth']),
    ('--resume of a file that is no checkpoint', [CONFIG, '--resume', 'README.md']),
]


def in_process(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return 'ACCEPTED'


def command(arguments: list[str]) -> str:
    with tempfile.TemporaryDirectory() as work_dir:
        done = subprocess.run(
            [sys.executable, 'tools/train.py', *arguments, '--work-dir', work_dir],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return done.stdout.strip().splitlines()[-1] if done.returncode else 'ACCEPTED'


def main() -> None:
    parser = argparse.ArgumentParser(description='What bad inputs are answered with.')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'results' / 'bad_inputs.md', help='file to write')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    init_default_scope('mmpretrain')
    rows = [(what, in_process(call)) for what, call in IN_PROCESS]
    rows += [(f'`train.py`: {what}', command(arguments)) for what, arguments in COMMANDS]
    cleaned = [(what, answer.replace('\n', ' ').replace('|', '\\|')) for what, answer in rows]
    table = ['| input | answer |', '|---|---|', *(f'| {what} | {answer} |' for what, answer in cleaned)]
    print('\n'.join(table))
    head = f'`python tools/measurements/bad_inputs.py`, commit {provenance.commit()}, {provenance.machine()}.'
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text('\n'.join(['# Bad inputs and their answers', '', head, '', *table, '']))
    if any(answer == 'ACCEPTED' for _, answer in rows):
        raise SystemExit('error: some were accepted')


if __name__ == '__main__':
    main()
