"""What ``lewel finetune`` refuses: one line, quickly, and nothing written."""

import json
import sys
from types import SimpleNamespace

import pytest
from helpers.labels import make_coco, make_masks
from helpers.tool_runs import run as run_command

from lewel_plugins.api import finetune as module
from lewel_plugins.api.finetune import finetune
from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core


def test_wrong_data_is_refused_without_importing_torch(tmp_path):
    make_coco(tmp_path / 'data', annotations=[dict(id=0, image_id=0, category_id=9, bbox=[1, 2, 3, 4])])
    code = (
        'import sys; from lewel_plugins.api import finetune; finetune.require_library = lambda task: None\n'
        'from lewel_plugins.cli.parser import main\n'
        'words = ["random", "--out", "run", "--gpus", "0", "--data"]\n'
        'for task, data in (("detector", "dta"), ("segmenter", "data"), ("detector", "data/labels.json")):\n'
        '    print(main(["finetune", task, *words, data]), flush=True)\n'
        'print("torch" in sys.modules or "mmengine" in sys.modules)'
    )
    done = run_command(sys.executable, '-c', code, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        'error: dta does not exist; did you mean data?',
        '2',
        'error: data has no folders images and masks; a segmenter needs masks: a folder with images/ and masks/',
        '2',
        'error: annotation 0 in data/labels.json, the box [1, 2, 3, 4] in 0.png, has category 9; declared are 3 (cat), '
        '7 (dog)',
        '2',
        'False',
    ]
    assert not (tmp_path / 'run').exists()


def test_libraries_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    with pytest.raises(
        SetupError, match='a segmenter needs mmseg, which is not installed: pip install -r requirements'
    ):
        finetune('segmenter', 'random', make_masks(tmp_path / 'data'), tmp_path / 'run')
    monkeypatch.undo()
    spec = module.find_spec('json')
    monkeypatch.setattr(module, 'find_spec', lambda name: spec)
    with pytest.raises(SetupError, match="a detector needs mmcv's compiled operations, missing in mmcv-lite"):
        finetune('detector', 'random', make_masks(tmp_path / 'data'), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_folders_and_words_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'require_library', lambda task: None)
    data = make_coco(tmp_path / 'data')
    with pytest.raises(SetupError, match="unknown task 'classifier'; the tasks are detector, segmenter"):
        finetune('classifier', 'random', data, tmp_path / 'run')
    with pytest.raises(SetupError, match='--epochs must be at least 1, got 0'):
        finetune('detector', 'random', data, tmp_path / 'run', epochs=0, gpus=0)
    with pytest.raises(SetupError, match="--set takes KEY=VALUE, got 'lr'"):
        finetune('detector', 'random', data, tmp_path / 'run', overrides=['lr'])
    with pytest.raises(SetupError, match='data is not empty and holds no run; choose another --out'):
        finetune('detector', 'random', data, tmp_path / 'data')
    pretraining = tmp_path / 'pretraining'
    pretraining.mkdir()
    (pretraining / 'plan.json').write_text(json.dumps(dict(request=dict(method='smog'), plan={})))
    with pytest.raises(SetupError, match='pretraining holds another run .task none, not detector'):
        finetune('detector', 'random', data, pretraining)
    assert not (tmp_path / 'run').exists()


def test_metrics_that_are_missing_do_not_keep_a_training_from_being_finished(tmp_path, monkeypatch):
    folder, lines = RunFolder(tmp_path / 'run'), []
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last_checkpoint').write_text('epoch_1.pth')
    monkeypatch.setattr(module.subprocess, 'run', lambda *_, **__: SimpleNamespace(returncode=0))
    module._complete(folder, lines.append, [])
    warning, predictions = lines
    assert warning.startswith(
        f'warning: no metrics: {tmp_path}/run has no validation in */vis_data/scalars.json; python '
    )
    assert warning.endswith(f'train.py {tmp_path}/run/config.py --work-dir {tmp_path}/run --resume writes it again')
    assert predictions == f'predictions beside the labels: {tmp_path}/run/predictions.png'


def test_predictions_that_fail_do_so_for_a_reason_of_their_own(tmp_path, monkeypatch):
    folder, lines = RunFolder(tmp_path), []
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    (tmp_path / 'train.log').write_text('error: of an earlier start\n')

    def fail(command, stdout, **_):
        stdout.write(b'ValueError: no picture\n')
        stdout.flush()
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(module.subprocess, 'run', fail)
    module._complete(folder, lines.append, [])
    assert lines[1].startswith(f'warning: no predictions: ValueError: no picture; log: {tmp_path}/train.log; python ')
