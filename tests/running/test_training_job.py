import pytest
import torch
from helpers.checkpoints import save
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.running.training_job import claim_training

pytestmark = pytest.mark.core


def config(seed=0, lr=0.1, checkpoint='a.pth'):
    return Config(dict(model=dict(checkpoint=checkpoint), optimizer=dict(lr=lr), randomness=dict(seed=seed)))


def test_the_same_run_goes_on_and_another_is_refused(tmp_path):
    a = str(save(tmp_path / 'a.pth', {'backbone.x': torch.ones(1)}))
    b = str(save(tmp_path / 'b.pth', {'backbone.x': torch.zeros(1)}))
    moved = tmp_path / 'moved.pth'
    moved.write_bytes((tmp_path / 'a.pth').read_bytes())
    folder = tmp_path / 'run'
    claim_training(folder, config(), b)  # this one writes no checkpoint
    claim_training(folder, config(), a)
    (folder / 'last_checkpoint').write_text('epoch_1.pth')
    claim_training(folder, config(checkpoint='moved.pth'), str(moved))  # the content matters, not the path
    for cfg, checkpoint, message in (
        (config(), b, rf'holds a run from checkpoint {a} \(sha256 \w+…\), not {b} \(sha256 \w+…\): give another --wo'),
        (config(), None, r'not None \(random weights\)'),
        (config(seed=1), a, 'holds a run from seed 0, not 1: give another --work-dir, or remove the folder'),
        (config(lr=0.2), a, r'another config \(-optimizer = dict\(lr=0.1\); \+optimizer = dict\(lr=0.2\)\)'),
        (config(seed=1), b, 'checkpoint .* seed 0, not 1'),
    ):
        with pytest.raises(SetupError, match=message):
            claim_training(folder, cfg, checkpoint)
    claim_training(folder, config(), a)  # the refusals have changed nothing
    with pytest.raises(SetupError, match="'none.pth' does not exist"):
        claim_training(tmp_path / 'new', config(), 'none.pth')
    assert not (tmp_path / 'new').exists()


def test_a_run_without_recorded_inputs_is_refused(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(SetupError, match='holds a run that does not record what it started from'):
        claim_training(tmp_path, config(), None)


def test_a_checkpoint_without_the_file_that_names_it_is_a_run_too(tmp_path):
    """A resume goes on from it."""
    (tmp_path / 'epoch_1.pth').touch()
    with pytest.raises(SetupError, match='holds a run that does not record what it started from'):
        claim_training(tmp_path, config(), None)
