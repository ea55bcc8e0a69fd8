"""``lewel worth`` from images to the answer, on tiny images: leakage, resume, refusals; pretraining is replaced."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.worth_images import CONFIG, write_classes
from mmengine.config import Config

from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.worth import worth
from lewel_plugins.api.worth_session import Worth
from lewel_plugins.errors import SetupError
from lewel_plugins.payoff import measures, protocol
from lewel_plugins.payoff.networks import write_random_network

pytestmark = pytest.mark.core


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp('worth') / 'photos')


@pytest.fixture(autouse=True)
def short_linear(monkeypatch):
    """Train linear classifiers for 20 steps."""
    monkeypatch.setattr(measures, 'LINEAR_STEPS', 20)
    monkeypatch.setattr(measures, 'LINEAR_EPOCHS', 20)


@pytest.fixture
def fake_pretrain(monkeypatch):
    """Replace pretraining by random weights of another seed; yield the arguments of its calls."""
    calls = []

    def fake(images, out, **arguments):
        calls.append(dict(arguments, out=Path(out), images=Path(images)))
        run = RunFolder(out)
        run.path.mkdir(parents=True)
        write_random_network(CONFIG, 100 + arguments['seed'], run / 'epoch_1.pth')
        (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
        (run / 'finished.json').write_text('{}')
        return Worth(run.path, 'finished')

    monkeypatch.setattr('lewel_plugins.api.pretrain.pretrain', fake)
    return calls


SETTINGS = ('backbone=resnet10', 'image_size=32', 'epochs=1', 'finetune=False', 'shots=1', 'gpus=0', 'workers=0')


def ask(photos, out, **options):
    lines = []
    options = {'seeds': 3, 'fractions': (1,), 'overrides': SETTINGS, 'say': lines.append, **options}
    return worth(photos, options.pop('labels', photos), out, **options), lines


def test_the_whole_answer(photos, tmp_path, fake_pretrain):
    shutil.copytree(photos, tmp_path / 'photos')
    shutil.copy(tmp_path / 'photos' / 'class0' / '03.png', tmp_path / 'photos' / 'class2' / 'copy.png')
    result, lines = ask(tmp_path / 'photos', tmp_path / 'out')
    assert result.status == 'finished' and len(result.verdicts) == 4 and lines[-1] == f'finished: {result.report}'
    content = json.loads((tmp_path / 'out' / 'worth.json').read_text())
    assert content['verdicts'][0]['sentence'] == result.verdicts[0].sentence in lines
    assert result.verdicts[0].sentence in result.report.read_text()
    assert [call['seed'] for call in fake_pretrain] == [0, 1, 2]
    plan = json.loads((tmp_path / 'out' / 'plan.json').read_text())['experiment']
    tests = {plan['paths'][i] for i in plan['test']}
    names = (tmp_path / 'out' / 'pretraining_images.txt').read_text().splitlines()
    assert tests and not tests & set(names) and len(names) + len(tests) == 37
    copies = [any(path.endswith(name) for path in tests) for name in ('class0/03.png', 'class2/copy.png')]
    assert copies[0] == copies[1]  # on the same side of the split
    assert '/' + tmp_path.name not in (tmp_path / 'out' / 'report.html').read_text()
    again, lines = ask(tmp_path / 'photos', tmp_path / 'out')
    assert again.table == result.table and len(fake_pretrain) == 3
    with pytest.raises(SetupError, match=r'holds another run \(transductive False, not True\)'):
        ask(tmp_path / 'photos', tmp_path / 'out', overrides=(*SETTINGS, 'transductive=True'))


def test_seeds_that_are_added_after_a_look_are_named(photos, tmp_path, fake_pretrain):
    first, _ = ask(photos, tmp_path / 'out', seeds=2)
    assert first.verdicts[0].state == 'no verdict'
    more, lines = ask(photos, tmp_path / 'out', seeds=3)
    assert more.verdicts[0].state != 'no verdict' and len(fake_pretrain) == 3
    assert any('Seeds were added after a look at the answer of 2' in line for line in lines)


def test_given_weights_have_arms_of_their_own(photos, tmp_path, fake_pretrain):
    write_random_network(CONFIG, 5, tmp_path / 'start.pth')
    result, lines = ask(photos, tmp_path / 'out', weights=tmp_path / 'start.pth', seeds=1)
    assert [(v.question.arm, v.question.baseline) for v in result.verdicts[::4]] == [('D', 'B'), ('C', 'B'), ('C', 'A')]
    assert {row['arm'] for row in result.table} == {'A', 'B', 'C', 'D', 'pixels', 'colors'}
    scratch, continued = fake_pretrain
    assert 'weights' not in scratch and continued['weights'] == str(tmp_path / 'start.pth')
    assert scratch['backbone'] == continued['backbone'] == 'resnet10'
    assert 'model.backbone.type=lewel_plugins.ResNet10' in scratch['overrides'] and not continued['overrides']
    assert any(line.startswith('  B  the given weights: 20-NN') for line in lines)


def write_run(folder, photos, images):
    """Write what worth reads of a finished pretraining on some images."""
    write_random_network(CONFIG, 9, folder / 'epoch_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    (folder / 'images.txt').write_text(''.join(f'{image}\n' for image in images))
    (folder / 'plan.json').write_text('{"request": {}}')
    inner = dict(type='lewel_plugins.ImageList', list_file='{{ fileDirname }}/images.txt', data_root=str(photos))
    config = Config(dict(train_dataloader=dict(dataset=dict(type='PretrainDataset', dataset=inner))))
    (folder / 'config.py').write_text(config.pretty_text)
    return folder


def test_one_network_is_judged_unless_it_has_seen_the_test_images(photos, tmp_path, fake_pretrain):
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob('*.png'))
    seen = write_run(tmp_path / 'seen', photos, names)
    with pytest.raises(SetupError, match=r'seen was trained on 12 of the 12 test images; leave out --pretrained'):
        ask(photos, tmp_path / 'out', pretrained=seen)
    assert not (tmp_path / 'out').exists()
    result, lines = ask(photos, tmp_path / 'a', pretrained=seen, seeds=1, overrides=(*SETTINGS, 'transductive=True'))
    assert not fake_pretrain and any(line.startswith('note: One network is judged') for line in lines)
    experiment = json.loads((tmp_path / 'a' / 'plan.json').read_text())['experiment']
    paths = [(tmp_path / 'a' / experiment['paths'][i]).resolve() for i in experiment['test']]
    tests = {str(path.relative_to(photos.resolve())) for path in paths}
    unseen = write_run(tmp_path / 'unseen', photos, [name for name in names if name not in tests])
    assert ask(photos, tmp_path / 'b', pretrained=unseen, seeds=1)[0].status == 'finished'
    other = write_run(tmp_path / 'other', tmp_path, ['elsewhere.png'])
    with pytest.raises(SetupError, match=r'other was trained on images that are not among those to pretrain on'):
        ask(photos, tmp_path / 'c', pretrained=other)


def test_transductive_and_dry_run(photos, tmp_path, fake_pretrain):
    result, lines = ask(photos, tmp_path / 'out', dry_run=True)
    assert result.status == 'planned' and not (tmp_path / 'out').exists() and not fake_pretrain
    assert any(line.startswith('  C  pretraining') for line in lines) and lines[-1].startswith('  in all')
    result, lines = ask(photos, tmp_path / 'out', seeds=1, overrides=(*SETTINGS, 'transductive=True'))
    assert any(line.startswith('note: Transductive: ') for line in lines)
    assert len((tmp_path / 'out' / 'pretraining_images.txt').read_text().splitlines()) == 36


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(seeds=0), r'--seeds must be at least 1, got 0'),
        (dict(margin=0), r'--margin must be positive, got 0'),
        (dict(hours=-1), r'--hours must be positive, got -1'),
        (dict(fractions=(2,)), r'--fractions must be above 0 and at most 1, got 2'),
        (dict(overrides=('methods=byol',)), r"--set does not know 'methods'; did you mean method\?"),
        (dict(overrides=('method=byool',)), r"unknown method 'byool'; did you mean byol\?"),
        (dict(pretrained='nowhere'), r'--pretrained nowhere is not the folder of a run of lewel pretrain'),
        (dict(weights='nowhere.pth'), r'nowhere\.pth does not exist'),
        (dict(labels='labls'), r'labls does not exist'),
        (dict(group_by='patient'), r"--group-by 'patient' is unknown"),
        (dict(group_by='folder'), r'0 classes of 3 can be tested, two are the least'),
        (dict(hours=1e-9), r'--hours is 1e-09, but'),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_written(photos, tmp_path, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=message) as error:
        ask(photos, 'out', dry_run='hours' in options, **options)
    assert '\n' not in str(error.value) and not list(tmp_path.iterdir())


def test_ctrl_c_is_no_traceback(photos, tmp_path, fake_pretrain, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(protocol, 'knn', lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        result, lines = ask(photos, tmp_path / 'out', seeds=1)
    assert result.status == 'interrupted' and lines[-1] == f'interrupted; the same command goes on with {result.path}'
    assert ask(photos, tmp_path / 'out', seeds=1)[0].status == 'finished'


@pytest.mark.parametrize('status', ['stopped', 'interrupted'])
def test_a_pretraining_that_stops_ends_the_call(photos, tmp_path, fake_pretrain, monkeypatch, status):
    with monkeypatch.context() as patch:
        patch.setattr('lewel_plugins.api.pretrain.pretrain', lambda images, out, **arguments: Worth(Path(out), status))
        result, lines = ask(photos, tmp_path / 'out', seeds=1)
    assert result.status == status and not result.verdicts and not result.report.exists()
    assert lines[-1] == f'stopped after a checkpoint; the same command goes on with {result.path}'
    assert ask(photos, tmp_path / 'out', seeds=1)[0].status == 'finished' and len(fake_pretrain) == 1


def test_refusals_import_no_torch(photos, tmp_path):
    labels, boxes = str(photos), str(photos.parent / 'boxes.json')
    Path(boxes).write_text('{}')
    calls = [
        ['nothing', '--labels', labels],
        [labels, '--labels', 'nothing'],
        [labels, '--labels', labels, '--seeds', '0'],
        [labels, '--labels', labels, '--group-by', 'doctor'],
        [labels, '--labels', labels, '--from', 'nothing.pth'],
        [labels, '--labels', labels, '--set', 'epoch=3'],
        [labels, '--labels', boxes],
        [labels, '--labels', boxes, '--set', 'finetune=False'],
    ]
    code = (
        'import sys; from lewel_plugins.cli.parser import main\n'
        f'print([main(["worth", *words, "--out", "out"]) for words in {calls!r}])\n'
        'print("torch" in sys.modules or "mmengine" in sys.modules)'
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.stdout.splitlines() == [str([2] * 8), 'False'], done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 8 and all(line.startswith('error: ') for line in lines) and not list(tmp_path.iterdir())
