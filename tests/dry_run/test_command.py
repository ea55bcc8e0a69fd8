"""``tools/dry_run.py`` from the command line."""

import json
import logging
import re
import sys

import pytest
from helpers import buggy_model
from helpers.tool_runs import ROOT, run
from mmengine.config import Config

from lewel_plugins.dry_run import command
from lewel_plugins.errors import SetupError

TOOL = str(ROOT / 'tools' / 'dry_run.py')


def write(folder, bug='none', **settings):
    path = folder / f'{bug}.py'
    Config(
        {
            **buggy_model.config(bug, **settings),
            'auto_scale_lr': dict(base_batch_size=32),
            'custom_imports': dict(imports=['helpers.buggy_model']),
        }
    ).dump(path)
    return str(path)


def test_reports_of_a_good_and_a_bad_config(tmp_path):
    good, bad = write(tmp_path), write(tmp_path, 'cpu_tensor')
    options = [
        '--largest-batch',
        '--memory',
        '2.1',
        '--json',
        str(tmp_path / 'out.json'),
        '--markdown',
        str(tmp_path / 'out.md'),
    ]
    result = run(sys.executable, TOOL, good, bad, *options, cwd=ROOT)
    assert result.returncode == 1, result.stdout
    lines = result.stdout.split('\n')
    assert f'{good}: 4 GPUs × 8 images, 1 × 32 px, bfloat16' in lines  # 4 GPUs: base batch size 32
    assert f'{bad}: error: mul of tensors on cuda:0 and cpu' in lines
    assert any(line.startswith(f'  {buggy_model.line_of("cpu_tensor")}: return (z * torch.ones(8))') for line in lines)
    assert 'no GPU has confirmed them' in result.stdout
    rows = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert rows[0]['fits'] and rows[0]['largest_batch'] > 100 and not rows[0]['waits']
    assert rows[0]['collectives']['gradients'] == dict(count=1, bytes=4 * rows[0]['trainable'])
    page = (tmp_path / 'out.md').read_text()
    assert 'no GPU has confirmed them' in page and 'fits 2.1 GiB' in page
    table = [line for line in page.split('\n') if line.startswith('|')]
    assert len(table) == 4 and len({row.count('|') for row in table}) == 1
    assert re.search(r'\| none \| 4 × 8 \| 0.00 \|', table[2]) and '| error: mul of tensors' in table[3]


@pytest.mark.parametrize(
    ('bug', 'options', 'code', 'text'),
    [
        ('none', [], 0, 'waits           none'),
        ('none', ['--memory', '1'], 1, 'of 1: DOES NOT FIT'),
        ('unused', [], 1, '2 WITHOUT GRADIENT: extra.weight, extra.bias'),
        ('item', ['--gpus', '1'], 0, f'1 × read by the host, {buggy_model.line_of("item")}'),
        ('low_precision', ['--gpu', 'rtx-4090'], 0, 'not in float32: loss'),
        ('none', ['--cfg-options', 'train_dataloader.batch_size=16', '--gpus', '2'], 0, '2 GPUs × 16 images'),
    ],
)
def test_exit_codes(tmp_path, capsys, bug, options, code, text):
    assert command.main([write(tmp_path, bug), *options]) == code
    assert text in capsys.readouterr().out
    assert logging.root.isEnabledFor(logging.ERROR)  # the next Runner of this process has its log


@pytest.mark.parametrize(
    ('base', 'batch', 'parts', 'expected'),
    [(None, 8, 1, 8), (64, 8, 1, 8), (64, 8, 4, 2), (64, 64, 4, 1), (128, 64, 3, 1)],
)
def test_the_gpus_of_a_recipe_make_a_step_of_its_base_batch(base, batch, parts, expected):
    assert command.own_gpus(recipe(base, batch, parts)) == expected


@pytest.mark.parametrize(
    ('base', 'batch', 'parts', 'message'),
    [
        (64, 128, 1, 'for steps of 64 images, which .*batch_size=128 does not divide: name .* by --gpus'),
        (256, 96, 1, 'for steps of 256 images, which .*batch_size=96 does not divide: name .* by --gpus'),
        (64, 8, 3, r'8 batches of 8 images per step, which optim_wrapper.accumulative_counts=3 does not .* by --gpus'),
    ],
)
def test_gpus_that_no_number_fits_are_named_by_the_user(base, batch, parts, message):
    with pytest.raises(SetupError, match=message):
        command.own_gpus(recipe(base, batch, parts))


def recipe(base, batch, parts):
    return Config(
        dict(
            train_dataloader=dict(batch_size=batch),
            optim_wrapper=dict(accumulative_counts=parts),
            **({} if base is None else dict(auto_scale_lr=dict(base_batch_size=base))),
        )
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no.py'], "config 'no.py' does not exist"),
        (['--gpu', 'tpu'], "--gpu 'tpu' is not known: choose one of a100-40gb"),
        (['--gpus', '0'], '--gpus must be at least 1, got 0'),
        (['--memory', '-3'], '--memory must be positive, got -3'),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, arguments, message):
    arguments = arguments if arguments[0].endswith('.py') else [write(tmp_path), *arguments]
    with pytest.raises(SetupError) as caught:
        command.main(arguments)
    assert message in str(caught.value) and '\n' not in str(caught.value)
