"""The answer of ``lewel check``: one real one, and every way to a no with measurements that are stated."""

import json
import os
import subprocess
import sys

import pytest
from helpers.preparations import GIB, gpu, write_photos

from lewel_plugins.api import check as module
from lewel_plugins.api import preparation
from lewel_plugins.api.check import _check_writable, check, duration
from lewel_plugins.api.measurements import room
from lewel_plugins.api.measurements.apart import Unmeasured
from lewel_plugins.api.measurements.input import InputMeasurement
from lewel_plugins.api.measurements.step import StepMeasurement
from lewel_plugins.api.pretrain import pretrain
from lewel_plugins.cli.parser import main
from lewel_plugins.errors import SetupError
from lewel_plugins.planning import Machine, Memory

pytestmark = pytest.mark.core
STEP = StepMeasurement(
    seconds_per_step=0.5,
    steps=5,
    batch=16,
    wait=0.2,
    finite=True,
    still=(),
    spread=0.9,
    memory=10**9,
    startup=3.0,
    validation=10.0,
)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp('data') / 'photos', 100)


@pytest.fixture
def machine(monkeypatch):
    """Set the GPUs of the machine, and what is measured on it."""

    def set_up(*gpus, step=STEP, memory=None, loader=None, errors=()):
        calls = []
        errors = list(errors)

        def measure(preparation, seconds, gpus):
            calls.extend((preparation.plan['batch_size'], gpu and gpu.index) for gpu in gpus)
            return [errors.pop(0) if errors else step for _ in gpus]

        monkeypatch.setattr(preparation, 'machine_facts', lambda *_: Machine(gpus, cores=16, memory=8 * GIB))
        monkeypatch.setattr(module, 'measure_steps', measure)
        monkeypatch.setattr(module, 'measure_memory', lambda *_: memory or Memory(2e9, 1e8))
        monkeypatch.setattr(
            module, 'measure_input', lambda *_: loader or InputMeasurement((1, 2, 4), (9e3,) * 3, (9e3,) * 3)
        )
        return calls

    return set_up


def answer(photos, **options):
    lines = []
    result = check(photos, backbone='resnet10', say=lines.append, **options)
    assert lines[-1] == result.verdict and result.ok == lines[-1].startswith('go: ')
    return result, lines


def test_a_folder_is_checked_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / 'photos', 12)
    before = sorted(tmp_path.rglob('*'))
    words = 'check photos --backbone resnet10 --batch-size 4 --image-size 32 --epochs 3 --seconds 500'
    assert main([*words.split(), '--json', 'answer.json']) == 0
    output = capsys.readouterr()
    assert output.err == '' and output.out.splitlines()[-1].startswith('go: 12 images, ')
    parts = [line.split()[0] for line in output.out.splitlines() if not line.startswith((' ', 'note', 'warning'))]
    assert parts == ['list', 'headers', 'decode', 'copies', 'plan', 'step', 'room', 'go:']
    assert 'note: 12 images are enough to try the installation, not to learn from' in output.out
    assert sorted(tmp_path.rglob('*')) == sorted([*before, tmp_path / 'answer.json'])
    content = json.loads((tmp_path / 'answer.json').read_text())
    assert content['ok'] and content['time'] > 0 and content['memory']['device'] > 10**8
    assert content['plan']['batch_size'] == dict(value=4, reason='as requested')
    assert {finding['code'] for finding in content['findings']} >= {'images', 'lr'}


def test_the_time_is_that_of_steps_and_validations(photos, machine):
    machine()
    result, lines = answer(photos)
    plan = result.plan
    assert plan['epochs'] == 834 and plan['monitor_epochs'] == 41
    assert result.time == pytest.approx(3 + 834 * 6 * 0.5 + 22 * 10)
    assert lines[-1] == 'go: 100 images, 45 min, 0.1 GB'
    hours, _ = answer(photos, hours=1.0)
    assert hours.plan['epochs'] == 1129  # 3,600 s without 213 s for start and validations, 3 s per epoch
    assert hours.time == pytest.approx(3600, rel=0.02)


def test_a_gpu_waits_for_images(photos, machine):
    machine(gpu(), loader=InputMeasurement((1, 2, 4), (20, 40, 50), (30, 40, 56)))
    result, lines = answer(photos, workers=4)
    assert 'warning: the GPU would wait 30% of the time: use 8 workers' in lines  # 32 views per 0.4 s
    assert result.time == pytest.approx(3 + 834 * 6 * 0.4 / 0.7 + 22 * 10)
    assert result.memory['device'] == round(2e9 + 16e8)
    assert any(line.startswith('memory   16 images need 3.6 GB, 24.7 GB are free (') for line in lines)


def test_too_little_memory_is_a_no(photos, machine):
    machine(gpu(), memory=Memory(2e9, 3e9))
    result, lines = answer(photos)
    assert lines[-2:] == [
        'error: 8 images need 26.0 GB and GPU 0 has 24.7 GB free; try --gpus 0 for the CPU',
        'no: 8 images need 26.0 GB and GPU 0 has 24.7 GB free; try --gpus 0 for the CPU',
    ]
    assert result.time is None and result.plan is not None


def test_a_trial_that_does_not_fit_is_repeated_with_fewer_images(photos, machine):
    full = Unmeasured('OutOfMemoryError: CUDA out of memory', 'OutOfMemoryError')
    calls = machine(gpu(), errors=[full])
    result, lines = answer(photos)
    assert [batch for batch, _ in calls] == [16, 8] and result.ok and result.plan['batch_size'] == 8
    assert '16 images do not fit on GPU 0' in lines
    calls = machine(gpu(), errors=[full] * 3)
    result, lines = answer(photos)
    assert [batch for batch, _ in calls] == [16, 8] and not result.ok
    assert lines[-1].startswith('no: 8 images need ')
    calls = machine(gpu(0), gpu(1), errors=[full])
    result, _ = answer(photos, method='byol', batch_size=32)
    assert calls == [(32, 0), (32, 1)] * 2 and result.plan['accumulation'] == 2


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        (dict(finite=False), 'the loss is not finite on the CPU within the first 5 steps; lower the rate'),
        (dict(still=('neck.fc.weight',)), 'no step changes these parameters on the CPU: neck.fc.weight'),
        (dict(spread=0.0), 'all embeddings are equal on the CPU: the spread is 0'),
    ],
)
def test_a_step_that_learns_nothing_is_a_no(photos, machine, values, text):
    machine(step=StepMeasurement(**{**vars(STEP), **values}))
    result, lines = answer(photos)
    assert lines[-2:] == [f'error: {text}', f'no: {text}'] and result.findings[-1].level == 'error'


def test_without_time_the_answer_names_what_is_unknown(photos, machine):
    machine(errors=[Unmeasured('it takes more than 40 s')])
    result, lines = answer(photos)
    assert 'note: no step was timed on the CPU: it takes more than 40 s' in lines
    assert lines[-1] == 'go: 100 images, an unknown time, 0.1 GB' and result.time is None
    machine(errors=[Unmeasured('KeyError: x', 'KeyError')])
    assert answer(photos)[1][-1] == 'no: a step fails on the CPU: KeyError: x'


def test_room_is_a_part(photos, machine, monkeypatch):
    machine()
    monkeypatch.setattr(room, 'disk_bytes', lambda _: 10**18)
    last = answer(photos, out='runs/a')[1][-1]
    assert last.startswith('no: this run needs 1000000000.0 GB in runs/a, but ') and last.endswith(' GB are free')


def test_a_place_that_nobody_can_write_to_is_refused(photos, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(SetupError, match=r'^cannot write to runs/a: permission denied$'):
        answer(photos, out='runs/a')


def test_labels_that_are_too_few_are_a_no(tmp_path, photos, machine):
    machine()
    rows = ''.join(f'{photos / name},{i % 2}\n' for i, name in enumerate(sorted(os.listdir(photos))[:20]))
    (tmp_path / 'labels.csv').write_text(f'path,label\n{rows}')
    _, lines = answer(photos, labels=tmp_path / 'labels.csv')
    assert lines[-1].startswith('no: --labels ') and 'has 20 images of' in lines[-1]


def test_a_dry_run_in_python_checks_and_returns_the_plan(tmp_path, photos, machine):
    machine()
    lines = []
    run = pretrain(photos, tmp_path / 'run', backbone='resnet10', dry_run=True, say=lines.append)
    assert run.status == 'planned' and run.plan['epochs'] == 834 and not run.path.exists()
    assert lines[-1] == 'go: 100 images, 45 min, 0.1 GB'
    with pytest.raises(SetupError, match=r'^the model cannot be built: ValueError: .*num_groups'):
        pretrain(photos, tmp_path / 'run', backbone='resnet10', overrides=['model.neck.num_groups=3'], dry_run=True)
    assert not run.path.exists()


def test_a_dry_run_refuses_the_folder_of_another_run(tmp_path, photos, capsys):
    words = ['pretrain', str(photos), '--dry-run', '--out', str(tmp_path)]
    (tmp_path / 'x').touch()
    assert main(words) == 2
    assert capsys.readouterr() == ('', f'error: {tmp_path} is not empty and holds no run; choose another --out\n')
    (tmp_path / 'plan.json').write_text('{"request": {"method": "lewel-b"}}')
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f'error: {tmp_path} holds another run (method lewel-b, not lewel-m; ')


def test_check_and_training_need_the_same_room(tmp_path, photos, machine, monkeypatch):
    machine()
    needed = answer(photos)[0].memory['disk']
    assert 6 * 10**7 < needed < 10**8

    class Stop(Exception):
        pass

    def stop(folder, count):
        assert count == needed
        raise Stop

    monkeypatch.setattr('lewel_plugins.api.pretrain.check_writable', stop)
    with pytest.raises(Stop):
        pretrain(photos, tmp_path / 'run', backbone='resnet10', say=lambda line: None)


def test_what_is_in_the_folder_is_an_answer_and_not_a_refusal(tmp_path, monkeypatch, capsys, machine):
    machine()
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    assert main(['check', 'empty']) == 3
    text = 'no images in empty: looked for .jpg .jpeg .png .webp .bmp .tif .tiff, found no files'
    assert capsys.readouterr() == (f'error: {text}\nno: {text}\n', '')
    write_photos(tmp_path / 'photos', 3)
    (tmp_path / 'photos' / 'x.jpg').touch()
    assert main(['pretrain', 'photos', '--out', 'run', '--dry-run']) == 3
    lines = capsys.readouterr().out.splitlines()
    text = '1 of 4 files (25%) cannot be decoded, more than 1%; the first is photos/x.jpg: the file is empty'
    assert lines[-2:] == [f'error: {text}', f'no: {text}']
    (tmp_path / 'photos' / 'x.jpg').unlink()
    assert main(['check', 'photos', '--holdout', '3']) == 3
    assert capsys.readouterr().out.splitlines()[-1] == 'no: --holdout must be 0 to 1, got 3'
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('check phtos', 'phtos does not exist; did you mean photos?'),
        ('check photos --method lewelm', "unknown method 'lewelm'; did you mean lewel-m?"),
        ('check photos --backbone resnet_18', "unknown backbone 'resnet_18'; did you mean resnet18?"),
        ('check photos --seconds 0', '--seconds must be positive, got 0'),
        ('check photos --json photos', '--json takes a file, and photos is a folder'),
        ('check photos --from weights.pth', 'weights.pth does not exist'),
        ('pretrain phtos --out run --dry-run', 'phtos does not exist; did you mean photos?'),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / 'photos', 2)
    assert main(words.split()) == 2
    assert capsys.readouterr() == ('', f'error: {message}\n')


def test_a_json_file_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r'cannot write no/x\.json: .*no does not exist'):
        check('photos', json='no/x.json')


def test_a_json_file_may_be_an_open_one_and_a_link(tmp_path, monkeypatch):
    """The folder of /dev/stdout takes no files of a user, and a link's own folder need not either."""
    monkeypatch.chdir(tmp_path)
    _check_writable('/dev/stdout')
    (tmp_path / 'link').symlink_to('no/x.json')
    with pytest.raises(SetupError, match='cannot write link: .*no does not exist'):
        _check_writable('link')
    monkeypatch.setattr(os, 'access', lambda path, mode: path == '/dev/null')
    _check_writable('/dev/null')
    with pytest.raises(SetupError, match='cannot write /dev/zero: permission denied'):
        _check_writable('/dev/zero')


def test_refusals_import_no_torch(tmp_path):
    code = (
        'import sys; from lewel_plugins.cli.parser import main\n'
        'for words in ("check x", "check . --method y", "pretrain x --out y --dry-run"): main(words.split())\n'
        'print([name for name in ("torch", "mmengine") if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout == '[]\n', done.stdout + done.stderr


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (12.4, '12 s'),
        (99, '99 s'),
        (100, '2 min'),
        (2460, '41 min'),
        (7800, '2 h 10 min'),
        (3599, '1 h 00 min'),
        (273_600, '3 days 4 h'),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
