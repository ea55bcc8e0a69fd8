import argparse

import pytest
import torch
from helpers.toy_runner import toy_config
from mmengine.registry import MODELS, init_default_scope

from lewel_plugins.errors import SetupError
from lewel_plugins.running.model_files import add_model_files, load_model

pytestmark = pytest.mark.core


@pytest.fixture
def files(tmp_path):
    """Write a toy checkpoint that contains its config, and that config as a file."""
    config = toy_config('')
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    paths = str(tmp_path / 'toy.py'), str(tmp_path / 'toy.pth')
    config.dump(paths[0])
    torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=state), paths[1])
    return *paths, state


@pytest.mark.parametrize('with_config', [False, True])
def test_weights_and_config_of_a_checkpoint(files, with_config):
    config, checkpoint, state = files
    options = {'train_dataloader.batch_size': 7}
    model, cfg = load_model(checkpoint, config if with_config else None, ['val_dataloader'], options)
    assert not model.training and cfg.train_dataloader.batch_size == 7
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_types_that_the_caller_builds_are_checked(files):
    content = torch.load(files[1], weights_only=True)
    content['meta']['cfg'] = content['meta']['cfg'].replace("'DefaultSampler'", "'os.abort'")
    torch.save(content, files[1])
    load_model(files[1])
    with pytest.raises(SetupError, match=r'os\.abort'):
        load_model(files[1], builds=['val_dataloader'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('deep=3', r'the model of .*toy\.pth cannot be built: .*deep'),
        ('type="NoNet"', r'the model of .*toy\.pth cannot be built: .*NoNet is not in'),
    ],
)
def test_a_model_that_cannot_be_built(files, change, message):
    config, checkpoint, _ = files
    with open(config, 'a', encoding='utf-8') as file:
        file.write(f'\nmodel["backbone"].update({change})\n')
    with pytest.raises(SetupError, match=message):
        load_model(checkpoint, config)


def test_command_line(capsys):
    parser = argparse.ArgumentParser()
    add_model_files(parser)
    parser.add_argument('--rows', type=int)
    args = parser.parse_args(['a.pth', '--rows', '3'])
    assert (args.config, args.checkpoint, args.rows) == (None, 'a.pth', 3)
    args = parser.parse_args(['a.py', 'a.pth'])
    assert (args.config, args.checkpoint) == ('a.py', 'a.pth')
    for words in (['a', 'b', 'c'], []):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
    assert 'expected [CONFIG] CKPT, got 3 files' in capsys.readouterr().err
