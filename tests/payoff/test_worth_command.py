"""``lewel worth`` from images to the answer, on tiny images: leakage, resume, refusals; pretraining is replaced."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.worth_images import CONFIG, write_classes, write_run
from mmengine.config import Config
from PIL import Image

from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.worth import worth
from lewel_plugins.api.worth_session import Worth
from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.datasets import ImageList
from lewel_plugins.errors import SetupError
from lewel_plugins.payoff import measures, protocol
from lewel_plugins.payoff.networks import write_random_network
from lewel_plugins.planning.listing import list_images

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


def test_two_sessions_of_all_classes_are_refused(photos, tmp_path, fake_pretrain):
    rows = ['path,label,session']
    for path in sorted(photos.rglob('*.png')):
        session = f'session{int(path.stem) % 2}'
        (tmp_path / 'photos' / session).mkdir(parents=True, exist_ok=True)
        copy = tmp_path / 'photos' / session / f'{path.parent.name}-{path.name}'
        shutil.copy(path, copy)
        rows.append(f'{copy},{path.parent.name},{session}')
    (tmp_path / 'labels.csv').write_text('\n'.join(rows))
    for group_by in ('folder', 'session'):
        with pytest.raises(SetupError, match=r'the test images are in 1 group, .*; 2 are the least'):
            ask(tmp_path / 'photos', tmp_path / 'out', labels=tmp_path / 'labels.csv', group_by=group_by)
    assert not fake_pretrain


def test_pretraining_sees_no_unlabeled_image_of_a_tested_patient(photos, tmp_path, fake_pretrain):
    shutil.copytree(photos, tmp_path / 'photos')
    rows = ['path,label,patient']
    for path in sorted((tmp_path / 'photos').rglob('*.png')):
        patient = f'{path.parent.name}-{int(path.stem) % 4}'
        rows.append(f'{path},{path.parent.name},{patient}')
        other = path.with_stem(f'mirrored-{path.stem}')  # another image of the patient, without a label
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
        rows.append(f'{other},,{patient}')
    tables = {name: tmp_path / f'{name}.csv' for name in ('all', 'some')}
    tables['all'].write_text('\n'.join(rows))
    tables['some'].write_text('\n'.join(row for row in rows if '/class0/mirrored-00.png' not in row))
    _, lines = ask(tmp_path / 'photos', tmp_path / 'out', labels=tables['all'], group_by='patient', seeds=1)
    plan = json.loads((tmp_path / 'out' / 'plan.json').read_text())['experiment']

    def patients(names):
        numbers = [Path(name).parent.name + Path(name).stem.removeprefix('mirrored-') for name in names]
        return {f'{number[:6]}-{int(number[6:]) % 4}' for number in numbers}

    tests = patients(plan['paths'][i] for i in plan['test'])
    assert tests and not tests & patients(plan['pretraining'])
    assert len(plan['paths']) == 36 and not any('no patient' in line for line in lines)
    _, lines = ask(tmp_path / 'photos', tmp_path / 'two', labels=tables['some'], group_by='patient', seeds=1)
    remark = (
        f'1 of {len(plan["pretraining"]):,} images to pretrain on has no patient in the csv, so that pretraining may '
        'see a patient that is tested; a row without a label names it'
    )
    assert f'warning: {remark}' in lines and f'note: {remark}.' in lines


def test_seeds_that_are_added_after_a_look_are_named(photos, tmp_path, fake_pretrain):
    first, _ = ask(photos, tmp_path / 'out', seeds=2)
    assert first.verdicts[0].state == 'no verdict'
    more, lines = ask(photos, tmp_path / 'out', seeds=3)
    assert more.verdicts[0].state != 'no verdict' and len(fake_pretrain) == 3
    assert any('Seeds were added after a look at the answer of 2' in line for line in lines)


def test_the_folder_may_lie_behind_a_link(photos, tmp_path, fake_pretrain, monkeypatch):
    disk = tmp_path / 'a' / 'b' / 'disk'
    disk.mkdir(parents=True)
    (tmp_path / 'link').symlink_to(disk)
    monkeypatch.chdir(tmp_path)
    assert ask(os.path.relpath(photos), 'link/out', seeds=1)[0].status == 'finished'
    paths = list_images([fake_pretrain[0]['images']]).paths
    assert {os.path.abspath(path) for path in paths} < {str(path) for path in photos.rglob('*.png')}
    config = Config.fromfile(disk / 'out' / 'pretraining.py')  # from which the timing starts
    dataset = config.train_dataloader.dataset.dataset
    assert os.path.isfile(ImageList(dataset.list_file, dataset.data_root).get_data_info(0)['img_path'])
    monkeypatch.chdir(photos)
    assert ask('../photos', os.path.relpath(tmp_path / 'link' / 'out'), seeds=1)[0].status == 'finished'


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


def names_of(photos):
    return sorted(str(path.relative_to(photos)) for path in photos.rglob('*.png'))


TRANSDUCTIVE = (*SETTINGS, 'transductive=True')
LEAN = tuple(each for each in TRANSDUCTIVE if not each.startswith(('backbone', 'image_size')))


def test_one_network_is_judged_unless_it_has_seen_the_test_images(photos, tmp_path, fake_pretrain):
    names = names_of(photos)
    seen = write_run(tmp_path / 'seen', photos, names)
    with pytest.raises(SetupError, match=r'seen was trained on 12 of the 12 test images; leave out --pretrained'):
        ask(photos, tmp_path / 'out', pretrained=seen)
    assert not (tmp_path / 'out').exists()
    result, lines = ask(photos, tmp_path / 'a', pretrained=seen, seeds=1, overrides=TRANSDUCTIVE)
    assert not fake_pretrain and any(line.startswith('note: One network is judged') for line in lines)
    experiment = json.loads((tmp_path / 'a' / 'plan.json').read_text())['experiment']
    paths = [(tmp_path / 'a' / experiment['paths'][i]).resolve() for i in experiment['test']]
    tests = {str(path.relative_to(photos.resolve())) for path in paths}
    unseen = write_run(tmp_path / 'unseen', photos, [name for name in names if name not in tests])
    assert ask(photos, tmp_path / 'b', pretrained=unseen, seeds=1)[0].status == 'finished'
    other = write_run(tmp_path / 'other', photos, ['elsewhere.png'])
    with pytest.raises(SetupError, match=r'other was trained on images that are not among those to pretrain on'):
        ask(photos, tmp_path / 'c', pretrained=other)


def test_random_weights_are_of_the_network_and_the_size_of_the_run(photos, tmp_path):
    """The plan of the settings would be another network, and larger images."""
    run = write_run(tmp_path / 'run', photos, names_of(photos), size=48, backbone='resnet10')
    assert ask(photos, tmp_path / 'out', pretrained=run, seeds=1, overrides=LEAN)[0].status == 'finished'
    config = Config.fromfile(tmp_path / 'out' / 'pretraining.py')
    assert config.image_size == 48 and config.model.backbone == Config.fromfile(run / 'config.py').model.backbone
    state = read_tensors(tmp_path / 'out' / 'networks' / 'random_seed0.pth')['state_dict']
    own = read_tensors(run / 'epoch_1.pth')['state_dict']
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in own.items()}


def test_a_run_that_continued_is_compared_with_the_weights_that_it_started_from(photos, tmp_path):
    start, same, other = (tmp_path / f'{name}.pth' for name in ('start', 'same', 'other'))
    for path, seed in ((start, 5), (same, 5), (other, 6)):
        write_random_network(CONFIG, seed, path)
    run = write_run(tmp_path / 'run', photos, names_of(photos), start)
    with pytest.raises(SetupError, match=r'run continued from \S+start\.pth; add --from \S+start\.pth, which'):
        ask(photos, tmp_path / 'out', pretrained=run, overrides=LEAN)
    with pytest.raises(SetupError, match=r'did not start from the weights of --from \S+other\.pth; name those that'):
        ask(photos, tmp_path / 'out', pretrained=run, weights=other, overrides=LEAN)
    assert not (tmp_path / 'out').exists()
    result, _ = ask(photos, tmp_path / 'out', pretrained=run, weights=same, seeds=1, overrides=LEAN)
    assert [(v.question.arm, v.question.baseline) for v in result.verdicts] == [('D', 'B')] * len(result.verdicts)
    assert 'init_cfg' not in Config.fromfile(tmp_path / 'out' / 'pretraining.py').model.backbone
    files = (tmp_path / 'out' / 'networks' / name for name in ('random_seed0.pth', 'given.pth'))
    of_a, of_b = (read_tensors(file)['state_dict']['backbone.layer1.0.conv1.weight'] for file in files)
    assert not (of_a == of_b).any()


def test_what_is_no_such_run_is_refused_in_one_line(photos, tmp_path):
    run, start = write_run(tmp_path / 'run', photos, names_of(photos)), tmp_path / 'start.pth'
    write_random_network(CONFIG, 5, start)

    def refused(message, **options):
        with pytest.raises(SetupError, match=message) as error:
            ask(photos, tmp_path / 'out', pretrained=run, **options)
        assert '\n' not in str(error.value) and not (tmp_path / 'out').exists()

    refused(r'run began with random weights, not with \S+start\.pth; leave out --from', weights=start)
    refused(
        r'run has backbone resnet10, not resnet18; leave out --set backbone=resnet18', overrides=['backbone=resnet18']
    )
    refused(r'run has image_size 32, not 64; leave out --set image_size=64', overrides=['image_size=64'])
    (run / 'finished.json').unlink()
    refused(r'run is not finished; repeat its lewel pretrain command first')
    (run / 'plan.json').write_text('{"request": {"task": "detector"}, "plan": {"epochs": {"value": 3}}}')
    refused(r'run is a folder of lewel finetune; give one of lewel pretrain')
    (run / 'plan.json').write_text('{"request": {}, "experiment": {}}')
    refused(r'run is a folder of lewel worth; give one of lewel pretrain')


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
        (dict(overrides=(*SETTINGS, 'batch_size=30')), r'--batch-size must be 2 to 24, the number of images, got 30'),
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
