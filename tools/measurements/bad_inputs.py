"""Record the error messages for bad inputs: config values, shapes, missing files, wrong checkpoints.

``python tools/measurements/bad_inputs.py`` writes ``docs/results/bad_inputs.md`` and fails if an input is accepted.
"""

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
from lewel_plugins.files import write_text
from lewel_plugins.models import BatchViews, KeyQueue, LEWELNeck
from lewel_plugins.optim import LARS
from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
NECK = dict(type='lewel_plugins.LEWELNeck', in_channels=128, hid_channels=8, out_channels=8)
HEAD = dict(type='lewel_plugins.LEWELPredictHead', hid_channels=8)
BACKBONE = dict(type='lewel_plugins.ResNet10')


def lewel_b(neck: dict | None = None, head: dict | None = None, **options: object) -> torch.nn.Module:
    """Build a small LEWEL_B with some arguments changed."""
    parts = dict(backbone=BACKBONE, neck={**NECK, **(neck or {})}, head={**HEAD, **(head or {})})
    return MODELS.build(dict(type='lewel_plugins.LEWELB', **parts, **options))


def folder(*names: str) -> dict:
    """Return the config of a data set on a new folder with empty files."""
    path = Path(tempfile.mkdtemp())
    for name in names:
        (path / name).touch()
    return dict(type='lewel_plugins.ImageTree', data_root=str(path), pipeline=[])


IN_PROCESS: list[tuple[str, Callable[[], object]]] = [
    ('LEWELNeck(num_groups=3), d = 8, D = 128', lambda: lewel_b(dict(num_groups=3))),
    ("LEWELNeck(alignment='lerned')", lambda: lewel_b(dict(alignment='lerned'))),
    ('LEWELNeck(hid_channels=0)', lambda: lewel_b(dict(hid_channels=0))),
    ('LEWELPredictHead(beta=1.5)', lambda: lewel_b(head=dict(beta=1.5))),
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


def answer_of_call(call: Callable[[], object]) -> str:
    """Return the error of a call, or ``ACCEPTED``."""
    try:
        call()
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return 'ACCEPTED'


def answer_of_command(arguments: list[str]) -> str:
    """Return the last line of ``tools/train.py`` with these arguments, or ``ACCEPTED``."""
    with tempfile.TemporaryDirectory() as work_dir:
        process = subprocess.run(
            [sys.executable, 'tools/train.py', *arguments, '--work-dir', work_dir],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return process.stdout.strip().splitlines()[-1] if process.returncode else 'ACCEPTED'


def main() -> None:
    parser = argparse.ArgumentParser(description='Record the error messages for bad inputs.')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'results' / 'bad_inputs.md', help='file to write')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    init_default_scope('mmpretrain')
    rows = [(name, answer_of_call(call)) for name, call in IN_PROCESS]
    rows += [(f'`train.py`: {name}', answer_of_command(arguments)) for name, arguments in COMMANDS]
    cells = [(name, answer.replace('\n', ' ').replace('|', '\\|')) for name, answer in rows]
    table = ['| input | answer |', '|---|---|', *(f'| {name} | {answer} |' for name, answer in cells)]
    print('\n'.join(table))
    head = f'`python tools/measurements/bad_inputs.py`, commit {provenance.commit()}, {provenance.machine()}.'
    write_text(args.out, '\n'.join(['# Bad inputs and their answers', '', head, '', *table, '']))
    if any(answer == 'ACCEPTED' for _, answer in rows):
        raise SystemExit('error: some bad inputs were accepted')


if __name__ == '__main__':
    main()
