"""What a user may type by mistake: each is one line with exit status 2, and nothing is written."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.preparations import write_photos

import lewel_plugins
from lewel_plugins.api.preparation import Options
from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.cli.parser import main
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core

PRETRAIN = 'pretrain photos --gpus 0 --out r'
WORTH = 'worth classes --labels classes --out w'
FINETUNE = 'finetune detector random --data boxes.json --out f'
LONG = 'x' * 300


class Code:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch pwned',)


@pytest.fixture(scope='module')
def material(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("it's ä")
    photos = write_photos(root / 'photos', 12)
    for i, path in enumerate(sorted(photos.iterdir())):
        (root / 'classes' / 'ab'[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / 'classes' / 'ab'[i % 2])
    for name in ('one', 'empty', 'unfinished', 'half'):
        (root / name).mkdir()
    shutil.copy(photos / '000.png', root / 'one')
    (root / 'unfinished' / 'plan.json').write_text('{')
    (root / 'half' / 'config.py').write_text('x = (')
    (root / 'bad.csv').write_text('a,b\n1,2\n')
    (root / 'latin.csv').write_bytes('path,label\nphotos/000.png,ä\n'.encode('latin-1'))
    (root / 'null.csv').write_bytes(b'path,label\n\0,1\n')
    (root / 'few.csv').write_text('path,label\nphotos/000.png,a\nphotos/001.png,b\n')
    for name in ('empty.csv', 'zero.pth'):
        (root / name).write_bytes(b'')
    (root / 'file.txt').write_text('photos/none.png\n')
    (root / 'boxes.json').write_text('{}')
    (root / 'evil.pkl').write_bytes(pickle.dumps(Code()))
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(1)}, more=Code()), root / 'evil.pth')
    torch.save({'a': torch.zeros(2)}, root / 'other.pth')
    torch.save([1, 2], root / 'list.pth')
    return root


@pytest.fixture(autouse=True)
def nothing_is_written(material, monkeypatch):
    monkeypatch.chdir(material)
    before = sorted(material.rglob('*'))
    yield
    assert sorted(material.rglob('*')) == before


def numbers() -> list[str]:
    """Return commands with each numeric option at values that it cannot have."""
    options = {
        PRETRAIN: ('--epochs', '--hours', '--batch-size', '--image-size', '--gpus', '--workers', '--holdout', '--seed'),
        'check photos --gpus 0': ('--seconds',),
        WORTH: ('--seeds', '--margin', '--fractions', '--hours'),
        FINETUNE: ('--epochs', '--gpus', '--seed'),
    }
    may_be_zero = ('--gpus', '--workers', '--holdout', '--seed')
    values = ('0', '-1', 'nan', 'inf', '1e400', '', 'two', '9' * 400)
    return [
        f'{command} {option}={value}'
        for command, names in options.items()
        for option in names
        for value in values
        if not (value == '0' and option in may_be_zero)
    ]


WORDS = [
    *numbers(),
    *(f'{PRETRAIN} {option}={value}' for option in ('--method', '--backbone') for value in ('', 'nosuch', 'ä')),
    *(f'{PRETRAIN} --from={value}' for value in ('', 'nosuch', 'photos', 'file.txt', '/dev/null', 'photos/000.png')),
    *(f'{PRETRAIN} --from={value}' for value in ('evil.pth', 'evil.pkl', 'zero.pth', 'other.pth', 'list.pth', 'half')),
    *(f'{PRETRAIN} --from=torchvision:{value}' for value in ('', 'resnet5.IMAGENET1K_V1', 'resnet50.V7', 'resnet50')),
    *(f'{PRETRAIN} --from={value}' for value in ('ftp://x/y.pth', 'lewel_plugins://nosuch', 'torchvision://nosuch')),
    *(f'{PRETRAIN} --labels={value}' for value in ('', 'nosuch', 'photos', 'bad.csv', 'latin.csv', 'null.csv')),
    *(f'{PRETRAIN} --labels={value}' for value in ('few.csv', 'empty.csv', 'boxes.json', 'one', '/dev/null')),
    *(f'{PRETRAIN} --set {value}' for value in ('a', '=', 'a=1', 'model=3', 'model.x={', 'model.x=[1', 'model.type=x')),
    f'{PRETRAIN} --set optim_wrapper.optimizer.lr=0.1 --set optim_wraper.optimizer.lr=0.1',
    *(f'pretrain {value} --gpus 0 --out r' for value in ('', 'nosuch', 'one', 'empty', 'file.txt', 'bad.csv', LONG)),
    *(f'pretrain photos --out={value}' for value in ('', 'photos', 'photos/000.png', '/dev/null', '/dev/null/x')),
    *(f'pretrain photos --out={value}' for value in ('bad.csv/x', 'unfinished', LONG)),
    *(f'check photos --gpus 0 --json={value}' for value in ('', 'photos', '/no/such/x', '/dev/null/x', LONG)),
    'check photos --gpus 0 --set optim_wraper.optimizer.lr=0.1',
    'check photos --gpus 0 --from evil.pkl',
    *(f'{WORTH} --from={value}' for value in ('nosuch', 'evil.pkl', 'list.pth', 'torchvision:resnet5.V1')),
    *(f'{WORTH} --pretrained={value}' for value in ('', 'nosuch', 'photos', 'unfinished', 'bad.csv', LONG)),
    *(f'{WORTH} --group-by={value}' for value in ('', 'nosuch')),
    f'{WORTH} --fractions 0 2',
    f'{WORTH} --fractions',
    *(
        f'{WORTH} --set {value}'
        for value in ('epochs=0', 'shots=0', 'shots=a', 'test_share=nan', 'gpus=-1', 'workers=-1')
    ),
    *(f'{WORTH} --set {value}' for value in ('image_size=1', 'model.x=1', 'batch_size=0', 'backbone=vit-small')),
    *(
        f'worth classes --out w --labels={value}'
        for value in ('', 'nosuch', 'bad.csv', 'latin.csv', 'one', '/dev/null')
    ),
    *(f'worth classes --labels classes --out={value}' for value in ('', 'photos', '/dev/null/x', LONG)),
    *(f'finetune detector {value} --data boxes.json --out f' for value in ('nosuch', 'random:', 'random:nosuch')),
    *(f'finetune detector random --out f --data={value}' for value in ('', 'nosuch', 'bad.csv', '/dev/null', 'empty')),
    f'finetune detector random --data boxes.json --out={LONG}',
    *(f'report {value}' for value in ('photos', 'nosuch', 'bad.csv', 'unfinished', 'half', '/dev/null', LONG)),
    'report photos photos',
    *(f'export {value} --to timm' for value in ('photos', 'nosuch', 'bad.csv', 'evil.pkl', 'evil.pth', 'half', LONG)),
    *('export half', 'report', 'finetune', 'pretrain', 'check', 'worth', '--nosuch', '-x', f'{PRETRAIN} more --no=3'),
]


@pytest.mark.parametrize('words', WORDS, ids=lambda words: words.replace(LONG, 'LONG')[:80])
def test_one_line_and_nothing_written(words, capsys):
    assert main(words.split(' ')) == 2
    output = capsys.readouterr()
    assert output.err.startswith('error: ') and output.err.endswith('\n') and output.err[:-1].isprintable()
    assert 'Traceback' not in output.err + output.out


def test_a_list_of_wrong_arguments_is_refused_without_torch(material):
    """What needs neither weights nor a config is known in under a second."""
    by_folder = ('--batch-size=9', '--gpus=9', '--holdout=9')
    words = [word for word in numbers() if not any(part in word for part in by_folder)]
    words += [f'{PRETRAIN} {more}' for more in ('--set a', '--method x', '--from nosuch', '--labels nosuch')]
    words += ['pretrain photos --out /dev/null/x', 'report', f'{WORTH} --seeds 0', f'{FINETUNE} --set a']
    code = (
        'import sys; from lewel_plugins.cli.parser import main\n'
        'codes = {main(line.rstrip("\\n").split(" ")) for line in sys.stdin}\n'
        'print(codes, "torch" in sys.modules)'
    )
    lines = '\n'.join(words)
    done = subprocess.run([sys.executable, '-c', code], input=lines, capture_output=True, text=True, cwd=material)
    assert done.stdout == '{2} False\n', done.stdout + done.stderr
    assert done.stderr.count('\n') == len(words)


def pretrain(**arguments):
    return lewel_plugins.pretrain(**{'images': 'photos', 'out': 'r', 'gpus': 0, **arguments})


def check(**arguments):
    return lewel_plugins.check(**{'images': 'photos', 'gpus': 0, **arguments})


def worth(**arguments):
    return lewel_plugins.worth(**{'images': 'classes', 'labels': 'classes', 'out': 'w', **arguments})


def finetune(**arguments):
    return lewel_plugins.finetune(
        **{'task': 'detector', 'start': 'random', 'data': 'boxes.json', 'out': 'f', **arguments}
    )


WRONG = {
    'images': ([], None, 3, [None], ['photos', 3], {}),
    'overrides': ('a=1', [1], {'a': 1}, 3, ['a']),
    'gpus': ('two', -1, 1.5, True, [0]),
    'out': (3, [], '', None),
}
PRETRAINING = {
    'method': (None, 3, ['lewel-m']),
    'backbone': (3, ['resnet18']),
    'weights': (3, []),
    'labels': (3, ['a']),
    'epochs': (1.5, '3', True, 0),
    'hours': ('1', float('nan'), -1, True, [1]),
    'batch_size': (1.5, '8', 1),
    'image_size': ('32', 8, 10**6),
    'workers': ('1', -1, 10**6),
    'holdout': ('1', -1),
    'seed': (None, 'a', -1, 2**32),
}
CALLS = [
    *((pretrain, name, value) for name, values in {**WRONG, **PRETRAINING}.items() for value in values),
    *((check, name, value) for name, value in (('seconds', '1'), ('seconds', float('inf')), ('json', 3), ('out', 3))),
    *((worth, name, value) for name in ('images', 'overrides', 'out') for value in WRONG[name]),
    *((worth, name, value) for name in ('labels', 'weights', 'pretrained', 'group_by') for value in (3, [], '')),
    *((worth, name, value) for name in ('seeds', 'margin', 'hours') for value in ('1', 0, float('nan'), [1])),
    *((worth, 'fractions', value) for value in ((), 'all', None, ('a',), (0,), (float('nan'),))),
    *((finetune, name, value) for name in ('overrides', 'gpus', 'out') for value in WRONG[name]),
    *((finetune, name, value) for name in ('task', 'start', 'data') for value in (3, [], '', None)),
    *((finetune, name, value) for name in ('epochs', 'seed') for value in ('1', 1.5, -1)),
]


@pytest.mark.parametrize(('function', 'name', 'value'), CALLS, ids=lambda part: getattr(part, '__name__', str(part)))
def test_functions_refuse_other_kinds_of_values(function, name, value):
    with pytest.raises(SetupError) as caught:
        function(**{name: value})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('function', [pretrain, check])
def test_functions_take_one_length_as_the_commands_do(function):
    with pytest.raises(SetupError, match=r'^--epochs and --hours both set the length; give one of them$'):
        function(epochs=5, hours=1)


def test_paths_start_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'start.pth').write_bytes(b'')
    options = Options.of(['~/photos'], [], 0, '~/start.pth', '~/labels')
    names = (*options.images, options.weights, options.labels, str(RunFolder('~/runs/a').path))
    assert names == tuple(f'{tmp_path}/{name}' for name in ('photos', 'start.pth', 'labels', 'runs/a'))
    assert Options.of('photos/~', [], 0).images == ('photos/~',)


def test_data_of_finetune_start_from_the_home_folder(tmp_path, monkeypatch):
    pytest.importorskip('mmdet', reason='finetune requires mmdet before it reads the data')
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(SetupError, match=f'^{tmp_path}/nothing.json does not exist'):
        finetune(data='~/nothing.json')


def test_numbers_of_numpy_are_numbers_and_bytes_are_paths():
    request = Options.of(b'photos', [], np.int64(0), epochs=np.int32(3), hours=None, seed=np.uint8(7)).shaping()
    assert json.loads(json.dumps(request)) == request
    assert (request['epochs'], request['seed'], request['images']) == (3, 7, ['photos'])


def test_report_and_export_refuse_other_kinds_of_values():
    for call in (
        lambda: lewel_plugins.report(),
        lambda: lewel_plugins.report(3),
        lambda: lewel_plugins.report('photos', out=3),
        lambda: lewel_plugins.export(3, 'timm'),
        lambda: lewel_plugins.export('photos', ['timm']),
        lambda: lewel_plugins.export('photos', 'timm', out=[]),
    ):
        with pytest.raises(SetupError):
            call()


def test_the_screen_has_no_warnings_of_libraries(tmp_path):
    """mmcv-lite and mmpretrain warn at their import of operations that pretraining does not use."""
    photos = write_photos(tmp_path / 'photos', 12)
    command = [sys.executable, '-m', 'lewel_plugins', 'check', str(photos), '--backbone', 'resnet10', '--seconds', '3']
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.splitlines()[-1].startswith('go: 12 images')
    assert result.stderr == '' and 'mmengine' not in result.stdout
