"""Checkpoints that commit d72400e wrote are converted, and then go on as they did there, to the last bit.

They and the records of what d72400e computed are in ``data``, with the script that wrote them.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import OrderedDict
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pretraining import different
from helpers.tool_runs import TEST, TRAIN, run
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from lewel_plugins import models
from lewel_plugins.checkpoints import (
    backbone_config,
    build_backbone,
    build_model,
    check_settings,
    config_of,
    load_backbone,
    older_version,
    read_tensors,
)
from lewel_plugins.checkpoints.convert import convert, main
from lewel_plugins.checkpoints.training_state import read_training_state
from lewel_plugins.errors import SetupError

DATA = Path(__file__).parent / 'data'
sys.path.append(str(Path(__file__).parents[1] / 'bit_identity'))
import record  # noqa: E402

RECORDS = json.loads((DATA / 'records.json').read_text())
NAMES = [name for name in RECORDS if name != 'canary']
COMMAND = 'python -m lewel_plugins.checkpoints.convert'
# torch.sqrt calls MKL's vector functions, which round as they like on each processor, whatever the environment is.
# Only Adam takes roots in a step. These are digests of roots on processors (AMD Zen 4) unlike that of the records.
OTHER_ROOTS = {'69a823c9ef55'}
WITH_ROOTS = {'msbreg'}

pytestmark = pytest.mark.core


def run_command(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['convert', *map(str, arguments)])
    main()


@pytest.fixture(scope='module')
def converted(tmp_path_factory) -> dict[str, Path]:
    """Return the files of the converted checkpoints by name."""
    folder = tmp_path_factory.mktemp('converted')
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            run_command(patch, DATA / f'{name}.pth', folder / f'{name}.pth')
    return {name: folder / f'{name}.pth' for name in NAMES}


@pytest.fixture(scope='module')
def same_arithmetic() -> bool:
    """Return whether torch and the processor round like those of the records."""
    recorded, present = RECORDS['canary'], record.canary()
    versions = [value['torch'].split('+')[0] for value in (recorded, present)]
    return versions[0] == versions[1] and recorded['digest'] == present['digest']


@pytest.fixture(scope='module')
def resumed(converted, tmp_path_factory) -> dict:
    """Return the records of two iterations from the converted checkpoints."""
    file = tmp_path_factory.mktemp('resumed') / 'records.json'
    path = os.pathsep.join([str(DATA.parents[2]), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, str(DATA / 'older_runs.py'), 'resume', str(file), *map(str, converted.values())]
    result = subprocess.run(
        command, cwd=file.parent, env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(file.read_text())


def digest_of_roots() -> str:
    numbers = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 10
    return hashlib.sha256(torch.sqrt(numbers).numpy().tobytes()).hexdigest()[:12]


def values_of(losses: dict[str, str]) -> dict[str, float]:
    return {name: float.fromhex(value) for name, value in losses.items()}


@pytest.mark.parametrize('name', NAMES)
def test_a_converted_checkpoint_has_the_model_of_its_config(converted, name):
    checkpoint = read_tensors(converted[name])
    model = build_model(config_of(checkpoint, name), checkpoint, name)  # strict
    before = read_tensors(DATA / f'{name}.pth')['state_dict']
    added = {'head.balance.hsic'} if name.startswith('mpcl') else set()
    assert len(model.state_dict()) == len(checkpoint['state_dict']) == len(before) + len(added)
    assert added <= checkpoint['state_dict'].keys()
    assert checkpoint['state_dict']._metadata.keys() <= {module for module, _ in model.named_modules()}
    moved = {old for old in before if old not in checkpoint['state_dict']}
    assert moved and all(name.startswith('head.') for name in checkpoint['state_dict'].keys() - before.keys())
    assert all(torch.equal(before[old], model.state_dict()[older_version.present_name(old)]) for old in before)


@pytest.mark.parametrize('name', NAMES)
def test_a_converted_checkpoint_resumes_as_the_older_version_did(resumed, same_arithmetic, name):
    ours, theirs = resumed[name], RECORDS[name]
    if same_arithmetic and not (name in WITH_ROOTS and digest_of_roots() in OTHER_ROOTS):
        assert ours == theirs  # losses, rates, logged values, and digests of all tensors
    elif same_arithmetic:
        assert ours['rates'] == theirs['rates']
        for here, there in zip([ours['loss'], *ours['losses']], [theirs['loss'], *theirs['losses']], strict=True):
            assert values_of(here) == pytest.approx(values_of(there), rel=1e-6)
    same_torch = torch.__version__.split('+')[0] == RECORDS['canary']['torch'].split('+')[0]
    same_masks = same_torch or name != 'mpcl_moco_v3'  # another torch draws other masks of its dropout
    for here, there in zip([ours['loss'], *ours['losses']], [theirs['loss'], *theirs['losses']], strict=True):
        assert here.keys() == there.keys()
        for key in here if same_masks else ():  # holds on every machine, despite rounding
            assert float.fromhex(here[key]) == pytest.approx(float.fromhex(there[key]), rel=2e-2, abs=1e-3)
    assert len(ours['losses']) == 2 and len(ours['history']) == len(theirs['history']) == 10


@pytest.mark.parametrize('name', NAMES)
def test_everything_else_in_the_file_stays(converted, name):
    before, after = (
        torch.load(file, map_location='cpu', weights_only=False) for file in (DATA / f'{name}.pth', converted[name])
    )
    assert before.keys() == after.keys() and {'optimizer', 'param_schedulers', 'message_hub'} <= after.keys()
    assert ('rank_state' in after) == (name == 'smog')
    for key in set(before) - {'meta', 'state_dict', 'message_hub', 'optimizer'}:
        assert not different(before[key], after[key])
    text = after['meta'].pop('cfg')
    assert before['meta'].pop('cfg') != text and before['meta'] == after['meta']
    hubs = before['message_hub'], after['message_hub']
    for key, value in hubs[0]['log_scalars'].items():
        mine = hubs[1]['log_scalars'][key]
        assert isinstance(mine, HistoryBuffer) and mine.max_length == value.max_length
        assert all(np.array_equal(a, b) for a, b in zip(mine.data, value.data))
    assert hubs[1]['runtime_info'].pop('cfg') == text and hubs[0]['runtime_info'].pop('cfg') != text
    assert hubs[0]['runtime_info'] == hubs[1]['runtime_info'] and hubs[0]['resumed_keys'] == hubs[1]['resumed_keys']


def test_an_optimizer_with_the_teachers_parameters_is_renumbered(converted):
    """Adam by mmengine's default constructor has states of trained parameters only, those of the head last."""
    before, after = (read_training_state(file)['optimizer'] for file in (DATA / 'msbreg.pth', converted['msbreg']))
    assert before['param_groups'] == after['param_groups'] and len(before['param_groups']) == 1
    checkpoint = read_tensors(converted['msbreg'])
    model = build_model(config_of(checkpoint, 'x'), checkpoint, 'x')
    parameters = list(model.parameters())
    assert len(before['param_groups'][0]['params']) == len(parameters)
    assert sorted(after['state']) == [i for i, p in enumerate(parameters) if p.requires_grad] != sorted(before['state'])
    for index, values in after['state'].items():
        assert values['exp_avg'].shape == parameters[index].shape


@pytest.mark.parametrize('name', NAMES)
def test_uses_of_the_backbone_need_no_conversion(converted, name):
    files = [str(DATA / f'{name}.pth'), str(converted[name])]
    states = []
    for file in files:
        backbone = build_backbone(backbone_config(read_tensors(file), file), file)
        assert load_backbone(backbone, file) == len(backbone.state_dict()) > 10
        states.append(backbone.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


# Configs


def test_settings_are_where_they_are_now():
    cfg = Config(
        dict(
            model=dict(
                type='lewel_plugins.MPCLMoCoV3',
                neck=dict(type='lewel_plugins.MultiProjectorNeck', in_channels=8, num_layers=3, init='kaiming'),
                predictor=dict(hid_channels=4),
                temperature=0.1,
                pcr_weight=0.5,
                literal_eq4=True,
                momentum=0.02,
                pretrained='x.pth',
            ),
            custom_hooks=[dict(type='lewel_plugins.RegularizerHook', module='predictor'), dict(type='EMAHook')],
            default_hooks=dict(logger=None, regularizer=dict(type='RegularizerHook', module='neck.mlps')),
        )
    )
    before = cfg.to_dict()
    assert older_version.present_config(cfg).to_dict() == dict(
        model=dict(
            type='lewel_plugins.MPCLMoCoV3',
            neck=dict(
                type='lewel_plugins.MultiProjectorNeck',
                in_channels=8,
                mlp=dict(shared_hidden=False, num_layers=3, init='kaiming'),
            ),
            head=dict(
                type='lewel_plugins.MPCLPredictHead',
                predictor=dict(hid_channels=4),
                temperature=0.1,
                balance=dict(pcr='cosine', pcr_weight=0.5, literal_eq4=True),
            ),
            momentum=0.02,
            init_cfg=dict(type='Pretrained', checkpoint='x.pth'),
        ),
        custom_hooks=[dict(type='lewel_plugins.RegularizerHook', module='head.predictor'), dict(type='EMAHook')],
        default_hooks=dict(logger=None, regularizer=dict(type='RegularizerHook', module='neck.mlps')),
    )
    assert cfg.to_dict() == before


@pytest.mark.parametrize('algorithm', older_version._HEADS)
def test_heads_have_the_settings_that_algorithms_had(algorithm):
    head, arguments = older_version._HEADS[algorithm]
    accepted = signature(getattr(models, head)).parameters.keys()
    assert set(arguments) <= accepted
    assert ('balance' in accepted) == algorithm.startswith('MPCL')
    assert not set(arguments) & signature(getattr(models, algorithm)).parameters.keys()
    minimal = Config(dict(model=dict(type=algorithm, neck=dict(type='X'), **dict.fromkeys(arguments, 1))))
    fixed = dict(balance=dict(pcr='cosine')) if algorithm.startswith('MPCL') else {}
    if algorithm == 'BYOLMultiCrop':
        fixed = dict(targets='large')  # 14 pairs of 8 views; the present default has 56
    assert older_version.present_config(minimal).model.head == dict(
        type=f'lewel_plugins.{head}', **dict.fromkeys(arguments, 1), **fixed
    )


# Recognition of older checkpoints


def older(**changes: object) -> dict:
    """Return a checkpoint of the older version without a config."""
    state = OrderedDict({'backbone.w': torch.ones(1), 'teacher.updates': torch.ones(1), 'predictor.0.weight': 1})
    return dict(state_dict=state, **changes)


def test_an_older_checkpoint_is_recognized_by_its_config_and_without_one_by_its_tensors():
    text = "model = dict(type='lewel_plugins.{}', {})".format
    assert older_version.is_older(dict(meta=dict(cfg=text('LEWELM', 'beta=0.5')), state_dict={}))
    assert not older_version.is_older(older(meta=dict(cfg=text('LEWELM', "head=dict(type='X')"))))
    assert not older_version.is_older(older(meta=dict(cfg="model = dict(type='BYOL')")))
    assert older_version.is_older(older()) and older_version.is_older(older(meta=dict(cfg='x = print()')))
    assert not older_version.is_older(dict(state_dict={'predictor.0.weight': torch.ones(1)}))  # not of this package
    assert not older_version.is_older(dict(state_dict={'teacher.updates': 1, 'head.predictor.0.weight': 1}))


def test_weights_alone_are_converted_by_their_names():
    result = convert(older(), 'x.pth')
    assert list(result) == ['state_dict']
    assert list(result['state_dict']) == ['backbone.w', 'teacher.updates', 'head.predictor.0.weight']


def test_loading_an_older_checkpoint_fails_with_the_command(tmp_path):
    checkpoint = read_tensors(DATA / 'lewel_b.pth')
    with pytest.raises(SetupError, match=f'older version of lewel_plugins: convert it with `{COMMAND} x.pth NEW.pth`'):
        build_model(config_of(checkpoint, 'x.pth'), checkpoint, 'x.pth')
    config = tmp_path / 'config.py'
    config.write_text('test_cfg, train_dataloader = dict(), dict(batch_size=4)')
    old = str(DATA / 'lewel_b.pth')
    for command in ((TRAIN, str(config), '--resume', old, '--work-dir', 'x'), (TEST, str(config), old)):
        result = run(sys.executable, *command, cwd=tmp_path)
        assert result.returncode == 1
        last = result.stdout.splitlines()[-1]
        assert last == (
            f'error: {old} was written by an older version of lewel_plugins: convert it with `{COMMAND} {old} NEW.pth`'
        )
        assert 'Traceback' not in result.stdout


# The command line


def test_the_command(tmp_path):
    new = tmp_path / 'folder' / 'new.pth'
    # mmcv-lite warns of its missing ops.
    warnings = ('-W', 'error::RuntimeWarning', '-W', 'ignore::UserWarning')
    command = (sys.executable, *warnings, '-m', 'lewel_plugins.checkpoints.convert')
    result = run(*command, str(DATA / 'smog.pth'), str(new), cwd=tmp_path)
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 1, result.stdout
    assert f'{new} holds ' in result.stdout and 'tensors are those of the model in its config' in result.stdout
    assert [file.name for file in new.parent.iterdir()] == ['new.pth']
    damaged = run(*command, __file__, 'x.pth', cwd=tmp_path)
    assert damaged.returncode == 1 and damaged.stdout.startswith(f'error: {__file__} cannot be read')
    assert len(damaged.stdout.strip().splitlines()) == 1 and not (tmp_path / 'x.pth').exists()
    nowhere = run(*command, str(DATA / 'smog.pth'), f'{__file__}/new.pth', cwd=tmp_path)
    assert nowhere.returncode == 1 and nowhere.stdout.startswith('error: ') and __file__ in nowhere.stdout
    assert len(nowhere.stdout.strip().splitlines()) == 1


def test_help(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_command(monkeypatch, '--help')
    text = capsys.readouterr().out
    assert f'{COMMAND} ' in text and 'OLD.pth NEW.pth' in text and '--force' in text


def test_a_file_is_overwritten_only_with_force(tmp_path, monkeypatch, capsys):
    new = tmp_path / 'new.pth'
    new.write_text('mine')
    with pytest.raises(SetupError, match='new.pth exists: choose another name, or add --force'):
        run_command(monkeypatch, DATA / 'smog.pth', new)
    assert new.read_text() == 'mine'
    run_command(monkeypatch, DATA / 'smog.pth', new, '--force')
    assert 'head.groups.rows' in read_tensors(new)['state_dict']


def test_what_cannot_be_converted(tmp_path, monkeypatch, converted):
    new = tmp_path / 'new.pth'
    with pytest.raises(SetupError, match='there is nothing to convert'):
        run_command(monkeypatch, converted['smog'], new)
    with pytest.raises(SetupError, match='does not exist'):
        run_command(monkeypatch, tmp_path / 'none.pth', new)
    torch.save(dict(meta={}), tmp_path / 'bare.pth')
    with pytest.raises(SetupError, match='no state_dict'):
        run_command(monkeypatch, tmp_path / 'bare.pth', new)
    checkpoint = read_training_state(DATA / 'smog.pth')
    del checkpoint['state_dict']['predictor.0.weight']
    torch.save(checkpoint, tmp_path / 'part.pth')
    with pytest.raises(SetupError, match=r'part.pth does not fit .* "head.predictor.0.weight"'):
        run_command(monkeypatch, tmp_path / 'part.pth', new)
    assert not new.exists()


def test_types_of_ones_own_are_converted_without_a_check(tmp_path, monkeypatch, capsys):
    checkpoint = read_training_state(DATA / 'smog.pth')
    checkpoint['meta']['cfg'] = checkpoint['meta']['cfg'].replace('lewel_plugins.ResNet10', 'mine.Backbone')
    torch.save(checkpoint, tmp_path / 'old.pth')
    run_command(monkeypatch, tmp_path / 'old.pth', tmp_path / 'new.pth')
    assert 'Not loaded as a check' in capsys.readouterr().out
    assert 'head.groups.rows' in read_tensors(tmp_path / 'new.pth')['state_dict']


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.file,)


class Attribute:
    """Is unpickled as an attribute of a class, as HistoryBuffer's methods are."""

    def __reduce__(self) -> tuple:
        return getattr, (HistoryBuffer, '__init__')


def test_attributes_are_not_looked_up(tmp_path):
    torch.save(dict(state_dict={}, planted=Attribute()), tmp_path / 'old.pth')
    with pytest.raises(SetupError, match='an object of the type getattr'):
        read_training_state(tmp_path / 'old.pth')


@pytest.mark.parametrize('place', ['meta', 'message_hub'])
def test_code_in_the_file_is_not_run(tmp_path, monkeypatch, place):
    checkpoint = read_training_state(DATA / 'smog.pth')
    checkpoint[place]['planted'] = Planted(str(tmp_path / 'planted'))
    torch.save(checkpoint, tmp_path / 'old.pth')
    with pytest.raises(SetupError, match='an object of the type posix.mkdir'):
        run_command(monkeypatch, tmp_path / 'old.pth', tmp_path / 'new.pth')
    assert [file.name for file in tmp_path.iterdir()] == ['old.pth']


def test_a_training_state_is_read_as_torch_reads_it(tmp_path):
    hub = dict(log_scalars=OrderedDict(loss=HistoryBuffer([1.0, 2.0], [1, 1])), info={'a': {1, 2}, 'b': (None, True)})
    content = dict(
        state_dict=OrderedDict(w=torch.nn.Parameter(torch.arange(3.0)), h=torch.ones(2, dtype=torch.bfloat16)),
        message_hub=hub,
        numbers=[np.float64(0.1), np.int64(3), np.arange(4), np.array(['a', 'b']), np.bool_(True), b'bytes', 1j],
    )
    torch.save(content, tmp_path / 'x.pth')
    ours, theirs = (
        read_training_state(tmp_path / 'x.pth'),
        torch.load(tmp_path / 'x.pth', map_location='cpu', weights_only=False),
    )
    buffers = [checkpoint['message_hub']['log_scalars'].pop('loss') for checkpoint in (ours, theirs)]
    assert all(np.array_equal(a, b) for a, b in zip(buffers[0].data, buffers[1].data)) and buffers[0].mean() == 1.5
    assert repr(ours) == repr(theirs)
    assert [type(number) for number in ours['numbers']] == [type(number) for number in theirs['numbers']]


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (dict(type='lewel_plugins.LEWELB', beta=0.5, head={}), 'model.beta is now model.head.beta'),
        (dict(type='lewel_plugins.MPCLMoCo', pcr_weight=0.0), 'model.pcr_weight is now model.head.balance.pcr_weight'),
        (
            dict(type='lewel_plugins.MPCLMoCo', squared_pcr=True),
            "model.squared_pcr is now model.head.balance.pcr='squared_cosine'",
        ),
        (
            dict(type='lewel_plugins.MPCLMoCo', head=dict(balance=dict(squared_pcr=True))),
            "model.head.balance.squared_pcr is now model.head.balance.pcr='squared_cosine'",
        ),
        (
            dict(
                type='lewel_plugins.MPCLMoCo', head={}, neck=dict(type='lewel_plugins.MultiProjectorNeck', init='mixed')
            ),
            'model.neck.init is now model.neck.mlp.init',
        ),
        (dict(type='lewel_plugins.SMoG'), "SMoG needs a head: add model.head=dict.type='lewel_plugins.SMoGHead'"),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_settings_of_an_older_config_are_named_with_their_places(model, message):
    with pytest.raises(SetupError, match=message):
        check_settings(Config(dict(model=model)))


def test_settings_of_other_models_are_left_alone():
    check_settings(Config(dict(model=dict(type='BYOL', beta=1))))
    check_settings(Config(dict(model=dict(type='lewel_plugins.LEWELB', head=dict(beta=1.0)))))
    check_settings(Config({}))
