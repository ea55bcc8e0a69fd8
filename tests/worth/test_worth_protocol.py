"""``lewel worth`` on tiny images with small networks: cells, kills, leakage, and the answer."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from lewel_plugins.api import worth as api
from lewel_plugins.errors import SetupError
from lewel_plugins.worth import finetuning, measures, protocol
from lewel_plugins.worth.design import Design
from lewel_plugins.worth.finetuning import KeepNormHook, finetune, training_config
from lewel_plugins.worth.material import Material
from lewel_plugins.worth.measures import floor_features, knn, linear, network_features
from lewel_plugins.worth.networks import write_random_network
from lewel_plugins.worth.protocol import Networks, Protocol
from lewel_plugins.worth.splits import split_groups, subsets

pytestmark = pytest.mark.core

COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
CONFIG = Config(
    dict(
        default_scope='mmpretrain',
        model=dict(
            type='lewel_plugins.PretrainedClassifier',
            checkpoint=None,
            backbone=dict(type='lewel_plugins.ResNet10'),
            head=dict(type='LinearClsHead', num_classes=3),
        ),
        data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
    )
)


def write_classes(folder, count=12):
    """Write one folder per class, of images whose color is that of the class, with coarse noise unlike others."""
    rng = np.random.default_rng(0)
    for label, color in enumerate(COLORS):
        for i in range(count):
            path = folder / f'class{label}' / f'{i:02d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            tiles = np.array(color) + rng.integers(-120, 120, (8, 9, 1))
            image = Image.fromarray(tiles.clip(0, 255).astype(np.uint8)).resize((36, 32), Image.Resampling.NEAREST)
            image.save(path)
    return folder


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp('worth') / 'photos')


@pytest.fixture
def material(photos, tmp_path):
    paths = tuple(sorted(str(path) for path in photos.rglob('*.png')))
    targets = tuple(int(Path(path).parent.name[-1]) for path in paths)
    groups = tuple(range(len(paths)))
    train, test = split_groups(targets, groups, 0.3, 0)
    return Material(paths, targets, ('a', 'b', 'c'), tuple(train), tuple(test), groups, 32, 0, tmp_path / 'work')


@pytest.fixture(autouse=True)
def short_linear(monkeypatch):
    """Train linear classifiers for 20 steps."""
    monkeypatch.setattr(measures, 'LINEAR_STEPS', 20)
    monkeypatch.setattr(measures, 'LINEAR_EPOCHS', 20)


@pytest.fixture
def network(tmp_path):
    write_random_network(CONFIG, 0, tmp_path / 'random.pth')
    return tmp_path / 'random.pth'


def test_features_follow_the_order_of_the_images(material, network):
    feat = network_features(network, material)
    assert feat.shape == (36, 128)
    other = network_features(network, material)
    torch.testing.assert_close(feat, other, rtol=0, atol=0)
    result = knn(feat, material, material.train)
    assert len(result.correct) == len(material.test) and result.top1 == pytest.approx(
        100 * result.correct.count('1') / len(material.test)
    )


def test_colors_are_found_by_the_floors_and_by_a_linear_classifier(material, network):
    floors = floor_features(network, material)
    assert floors['pixels'].shape == (36, 3 * 32 * 32) and floors['colors'].shape == (36, 512)
    assert floors['pixels'][list(material.train)].mean(0).abs().max() < 1e-4
    assert knn(floors['colors'], material, material.train).top1 > 60
    feat = floors['pixels'][:, ::16]
    scores = linear(feat, material, material.train, material.test, [0.001, 1e-9], seed=0, length=5)
    assert scores[0].top1 > 90 and scores[1].top1 < 70
    again = linear(feat, material, material.train, material.test, [0.001], seed=0, length=5)[0]
    assert again == scores[0]


def test_rates_are_judged_on_training_images_alone(material):
    train, judge = material.judged()
    assert sorted(train + judge) == sorted(material.train) and len(judge) >= 3
    assert not set(judge) & set(material.test)


def test_finetuning_goes_on_after_a_kill(material, network, tmp_path, monkeypatch):
    rows = material.train[:12]
    arguments = (network, material, rows, material.test, 0.03, 1, 1.0, 4)
    expected = finetune(*arguments, tmp_path / 'whole')
    assert not (tmp_path / 'whole').exists()
    epochs = []
    keep = KeepNormHook.before_train_iter

    def killed(self, runner, batch_idx, data_batch=None):
        epochs.append(runner.epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        keep(self, runner, batch_idx, data_batch)

    monkeypatch.setattr(KeepNormHook, 'before_train_iter', killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(*arguments, tmp_path / 'killed')
    assert finetune(*arguments, tmp_path / 'killed') == expected
    assert epochs == [0, 1, 2, 2, 3]


def test_few_images_keep_the_statistics_of_batch_norm(material, network, tmp_path, monkeypatch):
    means = {}

    def record(model, loader, title):
        means[len(means)] = model.backbone.bn1.running_mean.clone()
        raise StopIteration

    monkeypatch.setattr(finetuning, 'extract_features', record)
    for rows in (material.train[:15], material.train[:16]):
        with pytest.raises(StopIteration):
            finetune(network, material, rows, material.test, 0.01, 0, 1.0, 1, tmp_path / f'{len(rows)}')
    assert means[0].abs().max() == 0 and means[1].abs().max() > 0


def test_config_of_a_training(material, network, tmp_path):
    cfg = training_config(network, material, material.train, 0.1, 3, 3, 10, tmp_path / 'x')
    assert cfg.train_cfg.max_epochs == 30 and cfg.train_dataloader.batch_size == len(material.train)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * len(material.train) / 64)
    assert cfg.randomness.seed == 3 and cfg.model.frozen is False


def make_protocol(folder, material, arms=('A', 'B', 'D'), finetune_task=True):
    """Return a protocol whose continued network is the given one, and what it has printed."""
    files = {}

    def random(seed):
        path = folder.parent / f'random{seed}.pth'
        if not path.exists():
            write_random_network(CONFIG, seed, path)
        return files.setdefault(seed, path)

    weights = folder.parent / 'given.pth'
    if not weights.exists():
        write_random_network(CONFIG, 77, weights)
    tasks = ('knn', 'linear', 'finetune') if finetune_task else ('knn', 'linear')
    design = Design(arms, tasks, tuple(subsets((1,), (1,))), 2)
    lines = []
    networks = Networks(random, weights, lambda arm, seed: weights)
    return Protocol(folder, design, material, networks, 1, lines.append), lines


def test_a_killed_experiment_goes_on_and_has_the_same_table(material, tmp_path, monkeypatch):
    calls = []

    def fake(file, material, rows, test, rate, seed, length, epochs, folder):
        calls.append(folder.name)
        hits = [(index * 7 + seed + len(rows) + int(1000 * rate) + len(file.name)) % 3 == 0 for index in test]
        return protocol.Score(100 * sum(hits) / len(hits), ''.join(str(int(hit)) for hit in hits))

    monkeypatch.setattr(protocol, 'finetune', fake)
    whole, lines = make_protocol(tmp_path / 'whole' / 'out', material)
    expected = whole.run()
    assert len(expected) == 2 + 3 * 3 * 2 * 2
    assert lines[0] == 'measuring arms without pretraining' and any('given weights: 20-NN' in line for line in lines)
    count = len(calls)
    folder = tmp_path / 'killed' / 'out'

    def killed(*arguments):
        if len(calls) == count + 9:
            raise KeyboardInterrupt
        return fake(*arguments)

    monkeypatch.setattr(protocol, 'finetune', killed)
    with pytest.raises(KeyboardInterrupt):
        make_protocol(folder, material)[0].run()
    done = set(calls[count:])
    monkeypatch.setattr(protocol, 'finetune', fake)
    resumed = make_protocol(folder, material)[0]
    again = resumed.run()
    assert [outcome._replace(seconds=0) for outcome in again] == [outcome._replace(seconds=0) for outcome in expected]
    assert {key: choice['rate'] for key, choice in resumed.rates.items()} == {
        key: choice['rate'] for key, choice in whole.rates.items()
    }
    repeated = [name for name in calls[count + 9 :] if name in done]
    assert all('seed' not in name for name in repeated)  # cells are done once; only the search that was cut is repeated
    calls.clear()
    make_protocol(folder, material)[0].run()
    assert not calls


def test_equal_arms_have_equal_results(material, tmp_path):
    results = make_protocol(tmp_path / 'out', material, ('B', 'D'), finetune_task=False)[0].run()
    by_cell = {(o.arm, o.task, o.subset, o.seed): o.correct for o in results if o.arm in 'BD'}
    for (arm, *cell), correct in by_cell.items():
        assert correct == by_cell[('B', *cell)], (arm, cell)


@pytest.fixture
def fake_pretrain(monkeypatch):
    """Replace pretraining by random weights of another seed; yield the arguments of its calls."""
    calls = []

    def fake(images, out, **arguments):
        calls.append(dict(arguments, out=Path(out), images=Path(images)))
        run = api.RunFolder(out)
        run.path.mkdir(parents=True)
        write_random_network(CONFIG, 100 + arguments['seed'], run / 'epoch_1.pth')
        (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
        (run / 'finished.json').write_text('{}')
        return api.Worth(run.path, 'finished')

    monkeypatch.setattr('lewel_plugins.api.pretrain.pretrain', fake)
    return calls


SETTINGS = ('backbone=resnet10', 'image_size=32', 'epochs=1', 'finetune=False', 'shots=1', 'gpus=0', 'workers=0')


def ask(photos, out, **options):
    lines = []
    options = {'seeds': 3, 'fractions': (1,), 'overrides': SETTINGS, 'say': lines.append, **options}
    return api.worth(photos, options.pop('labels', photos), out, **options), lines


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
