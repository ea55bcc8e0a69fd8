"""The progress of a training as lines, and as a region of a terminal."""

import io
import json
import re
import time

import pytest

from lewel_plugins.api import display
from lewel_plugins.api.display import Display, Lines, Live, make_display
from lewel_plugins.running.progress_file import read_progress

pytestmark = pytest.mark.core
SCALARS = {'loss': 5.812, 'std': 0.92, 'representation/rank_me': 143.0, 'finds_view/train': 71.0, 'knn/top1_k20': 58.3}


def write(folder, epoch, step, **values):
    content = dict(
        stage='training',
        time=time.time() + 1,
        epoch=epoch,
        epochs=200,
        step=step,
        steps=7400,
        images_per_second=2140.4,
        waiting=0.03,
        seconds_left=4320,
        memory=None,
        scalars=SCALARS,
    )
    (folder / 'progress.json').write_text(json.dumps({**content, **values}))


def log(folder, *texts):
    with (folder / 'train.log').open('a') as file:
        file.writelines(f'2026/01/31 12:00:00 - mmengine - {text}\n' for text in texts)


def test_memory_is_in_units_of_a_billion_bytes(tmp_path):
    write(tmp_path, 1, 1, memory=(17.2e9, 24e9))
    assert 'memory 17.2 of 24.0 GB' in display._speed(read_progress(tmp_path), tmp_path)


def test_lines_are_rare_and_warnings_of_libraries_are_counted(tmp_path, monkeypatch):
    log(tmp_path, 'WARNING - Broken image, replaced by another one: old.jpg')
    lines = []
    with make_display(tmp_path, 'lewel-m · resnet18', 512, lines.append) as shown:
        assert isinstance(shown, Lines) and lines == ['lewel-m · resnet18']
        shown.update()
        write(tmp_path, 84, 3108)
        log(tmp_path, 'WARNING - Broken image, replaced by another one: x.jpg', 'INFO - x', 'WARNING - of a library')
        for _ in range(3):
            shown.update()
        monkeypatch.setattr(display, '_EVERY', 0.0)
        shown.update()  # still the same epoch
        write(tmp_path, 85, 3145, seconds_left=None)
        shown.update()
        log(tmp_path, 'WARNING - of a library', 'WARNING - "FileClient" will be deprecated in future. Please use')
        shown.update()
    texts = [re.sub(r'^\d\d:\d\d:\d\d ', '', line) for line in lines[1:]]
    last = 'epoch 85/200 step 3,145/7,400 loss 5.812 2,140 img/s wait 3% eta –'
    assert texts == [
        'warning: Broken image, replaced by another one: x.jpg',
        'epoch 84/200 step 3,108/7,400 loss 5.812 2,140 img/s wait 3% eta 1h12m',
        last,
        last,
        '2 warnings in train.log',
    ]


def test_without_warnings_and_progress_nothing_is_added(tmp_path):
    lines = []
    with make_display(tmp_path, 'title', 512, lines.append) as shown:
        shown.update()
    assert lines == ['title']
    with Display(tmp_path, '', 0) as shown:
        shown.update()


def test_a_terminal_has_a_region_in_plain_words(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr('sys.stdout', terminal)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '140')
    with make_display(tmp_path, 'lewel-m · resnet18', 512, print) as shown:
        assert isinstance(shown, Live)
        shown.update()
        write(tmp_path, 84, 3108)
        shown.update()
        log(tmp_path, 'WARNING - of a library')
        shown.update()
    text = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', terminal.getvalue())
    for part in (
        'starting …',
        'epoch 84 of 200',
        '42%',
        '1 h 12 min left, done at ',
        'loss 5.812   2,140 images/s   waiting for data 3%',
        'spread 0.92   directions in use 143 of 512   finds its other view 71%   20-NN 58.3%',
        '1 warning in train.log',
    ):
        assert part in text, part
    monkeypatch.setenv('TERM', 'dumb')
    assert isinstance(make_display(tmp_path, '', 512, print), Lines)
