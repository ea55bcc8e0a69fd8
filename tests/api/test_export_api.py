"""``lewel export`` to every library, and what it refuses."""

import json
import sys

import pytest
import torch
from helpers.checkpoints import RGB, make_run
from helpers.tool_runs import run as run_command

from lewel_plugins.api.check import check, is_check
from lewel_plugins.api.export import LIBRARIES, check_target, export
from lewel_plugins.api.outputs import check_output
from lewel_plugins.api.report import report
from lewel_plugins.checkpoints import export as export_room
from lewel_plugins.checkpoints import onnx_file, read_safetensors
from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.start import read_start

pytestmark = pytest.mark.core


@pytest.mark.parametrize('library', [name for name in LIBRARIES if name != 'onnx'])
def test_every_library_gets_the_same_features(tmp_path, library):
    if library in ('timm', 'mmdet', 'safetensors'):
        pytest.importorskip(library)
    lines: list[str] = []
    file = export(make_run(tmp_path / 'run'), library, say=lines.append)
    default = 'backbone.safetensors' if library == 'safetensors' else f'exports/backbone_{library}.pth'
    assert file == tmp_path / 'run' / default
    assert lines[0] == f'120 tensors (11,186,132 numbers) of ResNet written to {file}'
    assert lines[1].startswith('A backbone loaded from it computes the same features, bit for bit: the largest')
    # The files of an export are not taken for checkpoints, and the run stays what it is.
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_1.pth']


def test_features_are_not_claimed_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(export_room, 'find_spec', lambda name: None)
    lines: list[str] = []
    export(make_run(tmp_path), 'timm', say=lines.append)
    assert len(lines) == 2 and lines[1].startswith('timm is not installed, so that no features were compared;')


def test_a_file_that_fails_the_check_is_removed(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    write = export_room._write

    def spoil(file, library, tensors, meta):
        tensors['layer1.0.conv1.weight'] = tensors['layer1.0.conv1.weight'] + 1
        write(file, library, tensors, meta)

    monkeypatch.setattr(export_room, '_write', spoil)
    with pytest.raises(SetupError, match='do not convert back into those of the checkpoint: .*layer1.0.conv1.weight'):
        export(run, 'torchvision', tmp_path / 'x.pth')
    assert not (tmp_path / 'x.pth').exists()


def test_onnx_computes_the_same_features_for_any_size(tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    import onnx

    lines: list[str] = []
    file = export(make_run(tmp_path, 'resnet10'), 'onnx', say=lines.append)
    assert file.name == 'backbone.onnx' and 'up to rounding: the largest difference is ' in lines[1]
    properties = {entry.key: json.loads(entry.value) for entry in onnx.load(str(file)).metadata_props}
    assert properties['data_preprocessor'] == RGB
    (onnx_input,) = onnx.load(str(file)).graph.input
    assert [dim.dim_param or dim.dim_value for dim in onnx_input.type.tensor_type.shape.dim] == ['N', 3, 'H', 'W']


def test_onnx_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, 'find_spec', lambda name: None)
    with pytest.raises(SetupError, match='needs onnx, which is not installed: pip install onnx onnxruntime'):
        export(make_run(tmp_path / 'run'), 'onnx', tmp_path / 'new' / 'a.onnx')
    assert not (tmp_path / 'new').exists()


def test_a_later_checkpoint_counts_more_than_an_export(tmp_path):
    pytest.importorskip('safetensors')
    run = make_run(tmp_path / 'run')
    first = read_safetensors(export(run, 'safetensors', say=lambda line: None))[0]['backbone.conv1.weight']
    start, backbone = read_start(str(run))
    assert backbone['meta']['source'].endswith('backbone.safetensors') and start.mean == tuple(RGB['mean'])
    assert torch.equal(backbone['state_dict']['backbone.conv1.weight'], first)
    make_run(run, epoch=2)
    second = torch.load(run / 'epoch_2.pth', weights_only=True)['state_dict']['backbone.conv1.weight']
    later = read_safetensors(export(run, 'safetensors', say=lambda line: None))[0]['backbone.conv1.weight']
    assert torch.equal(later, second) and not torch.equal(first, second)


def test_the_backbone_of_a_run_is_there_already(tmp_path):
    run, lines = make_run(tmp_path / 'run'), []
    file = export(run, 'safetensors', say=lambda line: None)
    before = file.read_bytes()
    assert export(run, 'safetensors', say=lines.append) == file
    assert lines == [f'already there: {file}'] and file.read_bytes() == before


def test_an_address_is_not_taken_for_the_file_that_is_replaced(tmp_path):
    (tmp_path / 'x.pth').write_text('an earlier export')
    check_target(tmp_path / 'x.pth', 'https://host/x.pth')


def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(tmp_path):
    run = make_run(tmp_path / 'run', 'resnet10')
    with pytest.raises(SetupError, match='ResNet10 has no equivalent: accepted is .*; safetensors and onnx take every'):
        export(run, 'torchvision')
    with pytest.raises(SetupError, match="unknown library 'keras'; the libraries are torchvision, timm, "):
        export(run, 'keras')
    with pytest.raises(SetupError, match=r'rum does not exist; did you mean .*run\?'):
        export(tmp_path / 'rum', 'timm')
    with pytest.raises(SetupError, match='run is a folder; --out takes a file'):
        export(run, 'mmdet', run)
    with pytest.raises(SetupError, match='epoch_1.pth holds the weights to export; choose another --out'):
        export(run, 'mmdet', run / 'epoch_1.pth')
    (tmp_path / 'file').write_text('')
    with pytest.raises(SetupError, match='cannot write to .*x.safetensors: (not a directory|file exists)'):
        export(run, 'safetensors', tmp_path / 'file' / 'x.safetensors')
    assert sorted(path.name for path in run.iterdir()) == ['epoch_1.pth', 'last_checkpoint']


@pytest.mark.parametrize('address', ['lewel_plugins://lewel-b_resnet18', 'https://example.org/backbone.pth'])
def test_an_address_has_no_folder_to_write_to(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export_room, 'export_backbone', lambda *arguments: pytest.fail('not reached'))
    with pytest.raises(SetupError, match=f'^{address} is an address, which has no folder to write to; give .* --out$'):
        export(address, 'safetensors')


def test_the_command_and_a_refusal_without_torch(tmp_path):
    code = (
        'import sys; from lewel_plugins.cli.parser import main\n'
        'status = main(["export", "nothing", "--to", "timm"])\n'
        'print(status, "torch" in sys.modules or "mmengine" in sys.modules)'
    )
    done = run_command(sys.executable, '-c', code, cwd=tmp_path)
    assert done.stdout.splitlines() == ['error: nothing does not exist', '2 False']


def test_a_file_of_a_run_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(export_room, 'export_backbone', lambda *arguments: pytest.fail('not reached'))
    run, other = tmp_path / 'run', tmp_path / 'other'
    for folder in (run, other):
        (folder / 'start').mkdir(parents=True)
        (folder / '20260101_000000' / 'vis_data').mkdir(parents=True)
        for name in ('plan.json', 'run.lock', 'epoch_1.pth', 'epoch_2.pth', 'images.txt.gz', 'start/weights.pth'):
            (folder / name).write_text(name)
        (folder / 'last_checkpoint').write_text('epoch_2.pth')
        (folder / '20260101_000000' / 'vis_data' / 'scalars.json').write_text('')
    (tmp_path / 'link.json').symlink_to(run / 'plan.json')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    names = ['plan.json', 'epoch_1.pth', 'images.txt.gz', 'last_checkpoint', 'start/weights.pth']
    names += ['20260101_000000/vis_data/scalars.json', '../other/epoch_2.pth', '../link.json']
    for name in names:
        with pytest.raises(SetupError, match=r'is a file of the run in .*(run|other); choose another --out$'):
            export(run, 'timm', run / name)
        with pytest.raises(SetupError, match=r'is a file of the run in .*(run|other); choose another --out$'):
            report(run, out=run / name)
        with pytest.raises(SetupError, match=r'is a file of the run in .*(run|other); choose another --json$'):
            check(tmp_path, json=run / name)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}


def test_an_earlier_output_in_a_run_is_replaced(tmp_path):
    run = make_run(tmp_path / 'run', 'resnet10')
    for _ in range(2):
        assert export(run, 'safetensors', run / 'mine.safetensors', say=lambda line: None).is_file()
    (run / 'mine.json').write_text(json.dumps(dict(ok=True, verdict='yes', findings=[])))
    check_output('--json', run / 'mine.json', is_check)
