"""Measurements of ``lewel worth`` on tiny images with small networks: tasks, cells, kills."""

from pathlib import Path

import pytest
import torch
from helpers.worth_images import CONFIG, write_classes

from lewel_plugins.evaluation import extraction
from lewel_plugins.payoff import finetuning, measures, protocol
from lewel_plugins.payoff.design import Design
from lewel_plugins.payoff.finetuning import KeepNormHook, finetune, training_config
from lewel_plugins.payoff.material import Material
from lewel_plugins.payoff.measures import floor_features, knn, linear, network_features
from lewel_plugins.payoff.networks import write_random_network
from lewel_plugins.payoff.protocol import Networks, Protocol
from lewel_plugins.payoff.splits import split_groups, subsets

pytestmark = pytest.mark.core


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
    assert len(result.images) == len(material.test) and result.points == pytest.approx(
        100 * result.images.count('1') / len(material.test)
    )


def test_colors_are_found_by_the_floors_and_by_a_linear_classifier(material, network):
    floors = floor_features(network, material)
    assert floors['pixels'].shape == (36, 3 * 32 * 32) and floors['colors'].shape == (36, 512)
    assert floors['pixels'][list(material.train)].mean(0).abs().max() < 1e-4
    assert knn(floors['colors'], material, material.train).points > 60
    feat = floors['pixels'][:, ::16]
    scores = linear(feat, material, material.train, material.test, [0.001, 1e-9], seed=0, length=5)
    assert scores[0].points > 90 and scores[1].points < 70
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


def test_a_rate_that_diverges_classifies_nothing(material, network, tmp_path, monkeypatch):
    nothing = (0, '0' * len(material.test))
    arguments = (network, material, material.train, material.test)
    assert finetune(*arguments, 1e30, 1, 1.0, 4, tmp_path / 'training') == nothing  # the loss is not finite
    monkeypatch.setattr(extraction, 'count_non_finite', lambda feat: torch.tensor(1))
    assert finetune(*arguments, 0.01, 1, 1.0, 1, tmp_path / 'features') == nothing
    assert not (tmp_path / 'training').exists() and not (tmp_path / 'features').exists()
    assert not any(material.folder.iterdir())


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
    by_cell = {(o.arm, o.task, o.subset, o.seed): o.images for o in results if o.arm in 'BD'}
    for (arm, *cell), correct in by_cell.items():
        assert correct == by_cell[('B', *cell)], (arm, cell)
