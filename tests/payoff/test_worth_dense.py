"""``lewel worth`` with boxes and masks, on tiny images; pretraining and trainings are replaced by what they write."""

import json
from pathlib import Path

import pytest
from helpers.labels import coco_content, make_coco, make_masks, make_voc, write_image
from helpers.worth_images import CONFIG, write_run
from mmengine.config import Config

from lewel_plugins.api import worth as module
from lewel_plugins.api import worth_training
from lewel_plugins.api.run_folder import FINISHED, RunFolder
from lewel_plugins.api.training import Run, TrainingError
from lewel_plugins.api.worth import worth
from lewel_plugins.errors import SetupError
from lewel_plugins.payoff import dense_config, timing
from lewel_plugins.payoff.cost import Seconds
from lewel_plugins.payoff.dense_labels import DenseLabels, dense_task, read_dense_labels
from lewel_plugins.payoff.dense_material import DenseMaterial
from lewel_plugins.payoff.networks import write_random_network

pytestmark = pytest.mark.core
COUNT = 20
SETTINGS = ('backbone=resnet10', 'image_size=32', 'epochs=1', 'gpus=0', 'workers=0')


class Trainings:
    """Stands in for pretraining and trainings: arm C and D find all objects, A and B those of the first half.

    Attributes:
        configs: The config of each training, by the name of its folder.
        fails: Raised in the place of a training, by the start of its name.
    """

    def __init__(self):
        self.configs, self.fails = {}, {}

    def pretrain(self, images, out, **arguments):
        run = RunFolder(out)
        run.path.mkdir(parents=True)
        write_random_network(CONFIG, 100 + arguments['seed'], run / 'epoch_1.pth')
        (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
        (run / FINISHED).write_text('{}')
        return Run(run.path, 'finished')

    def compose(self, task, resolved, written, start, seed):
        """Return what stands in for the config of a training, whose composition takes half a second."""
        loaders = {f'{name}_dataloader': {} for name in ('train', 'val', 'test')}
        return Config(
            dict(
                loaders,
                val=written.val[0],
                images=written.images,
                endings=written.extensions,
                lr=resolved['lr'],
                norm=resolved['batch_norm'],
                train_cfg=dict(max_epochs=resolved['epochs']),
                seed=seed,
            )
        )

    def train(self, folder, lock, say, gpus):
        assert gpus == ()  # as in the settings
        name = folder.path.name.rsplit('-', 1)[0]
        for start, error in self.fails.items():
            if name.startswith(start):
                raise error
        config = self.configs[name] = Config.fromfile(folder / 'config.py')
        predict = self.segment if config.endings else self.detect
        records = predict(config, name[0] in 'CD')
        Path(config.val_evaluator.out_file).write_text(json.dumps(records))
        (folder / FINISHED).write_text('{}')
        return Run(folder.path, 'finished')

    @staticmethod
    def detect(config, is_good):
        content = json.loads(Path(config.val).read_text())
        records = []
        for image in content['images'][::-1]:  # in any order
            boxes = [entry['bbox'] for entry in content['annotations'] if entry['image_id'] == image['id']]
            is_found = is_good or image['id'] <= len(content['images']) / 2
            corners = [[left, top, left + width, top + height] for left, top, width, height in boxes if is_found]
            records.append(dict(image=image['id'], detections=[[0, 0.9, *each] for each in corners]))
        return records

    @staticmethod
    def segment(config, is_good):
        value = dict(intersection=[90, 40 if is_good else 10], union=[100, 50])
        names = Path(config.val).read_text().split()
        return [dict(value, image=f'{config.images}/{name}.jpg') for name in names[::-1]]


@pytest.fixture
def trainings(monkeypatch):
    stand_in = Trainings()
    monkeypatch.setattr('lewel_plugins.api.pretrain.pretrain', stand_in.pretrain)
    monkeypatch.setattr(worth_training, 'train', stand_in.train)
    monkeypatch.setattr(dense_config, 'compose', stand_in.compose)
    monkeypatch.setattr(timing, 'measure_dense_seconds', lambda *arguments: Seconds(1.0, 0.1, 0.01, 0.0))
    monkeypatch.setattr(module, 'require_library', lambda task: None)
    return stand_in


def ask(labels, out, **options):
    lines = []
    options = {'seeds': 2, 'fractions': (1,), 'overrides': SETTINGS, 'say': lines.append, **options}
    folder = Path(labels) if Path(labels).is_dir() else Path(labels).parent
    return worth(folder / 'images', labels, out, **options), lines


def test_boxes_from_labels_to_the_answer_and_on_after_a_kill(tmp_path, trainings):
    pytest.importorskip('pycocotools')
    labels = make_coco(tmp_path / 'data', COUNT)
    done: set[str] = set()
    for killed in ('C_detector_3_0.5', 'C_detector_all_seed1'):  # within a search, and a cell
        trainings.configs, trainings.fails = {}, {killed: KeyboardInterrupt()}
        result, lines = ask(labels, tmp_path / 'out', fractions=(0.5, 1))
        assert result.status == 'interrupted' and not result.report.exists()
        assert trainings.configs and not done & set(trainings.configs)
        done |= set(trainings.configs)
    assert len([name for name in done if 'seed' in name]) == 7
    trainings.configs, trainings.fails = {}, {}
    result, lines = ask(labels, tmp_path / 'out', fractions=(0.5, 1))
    assert result.status == 'finished' and list(trainings.configs) == ['C_detector_all_seed1']
    assert lines.count('  C with all labels: 100.0 AP') == 1  # the only training of this call
    assert not any(line.startswith('  rate') for line in lines)
    assert not any((tmp_path / 'out' / 'work').iterdir())

    table = {(row['arm'], row['subset']): row['values'] for row in result.table}
    assert table['C', 'with all labels'] == pytest.approx({0: 100, 1: 100})
    assert set(table) == {(arm, words) for arm in 'AC' for words in ('with all labels', 'with 50% of the labels')}
    primary = result.verdicts[0]
    assert primary.state == 'no verdict' and primary.question.task == 'detector'
    assert primary.estimate.differences == pytest.approx(
        [100 - value for value in table['A', 'with all labels'].values()]
    )
    assert 20 < primary.estimate.mean < 80 and primary.estimate.noise.variance > 0
    assert any(
        line.startswith('  A  random weights: detector ') and line.endswith(' AP with all labels') for line in lines
    )
    html = result.report.read_text()
    assert "COCO's average precision of boxes, AP × 100" in html.replace('&#39;', "'") and '1,000 bootstrap' in html
    assert '/' + tmp_path.name not in html


def test_no_image_is_on_two_sides(tmp_path, trainings):
    pytest.importorskip('pycocotools')
    labels = make_coco(tmp_path / 'data', COUNT)
    result, lines = ask(labels, tmp_path / 'out', seeds=1)
    plan = json.loads((tmp_path / 'out' / 'plan.json').read_text())['experiment']
    tests = {Path(plan['paths'][i]).name for i in plan['test']}
    pretraining = (tmp_path / 'out' / 'pretraining_images.txt').read_text().splitlines()
    assert len(tests) == 6 and not tests & {Path(name).name for name in pretraining} and len(pretraining) == 14
    assert any(line == 'warning: the class dog has no box to learn it from' for line in lines)


def test_masks_and_given_weights(tmp_path, trainings):
    data = make_masks(tmp_path / 'data', COUNT)
    write_random_network(CONFIG, 5, tmp_path / 'start.pth')
    result, lines = ask(data, tmp_path / 'out', seeds=2, weights=tmp_path / 'start.pth')
    assert [verdict.question.arm + verdict.question.baseline for verdict in result.verdicts] == ['DB', 'CB', 'CA']
    means = {row['arm']: row['mean'] for row in result.table}
    assert means == pytest.approx(dict(A=55, B=55, C=85, D=85))
    assert result.verdicts[0].estimate.differences == pytest.approx((30, 30))
    assert 'mean intersection over union' in result.report.read_text().lower()
    assert any(line.startswith('  B  the given weights: segmenter 55.0% mIoU') for line in lines)


def test_each_training_is_one_of_finetune_with_its_rate_and_length(tmp_path, trainings):
    pytest.importorskip('pycocotools')
    labels = make_coco(tmp_path / 'data', COUNT)
    _, lines = ask(labels, tmp_path / 'out', overrides=(*SETTINGS, 'finetune_epochs=4'))
    assert [line for line in lines if line.startswith('  rate 0.3, length 0.5: ') and line.endswith(' AP')]
    configs = trainings.configs
    searched = {
        name: config for name, config in configs.items() if name.startswith('A_detector_') and 'seed' not in name
    }
    epochs = {name: config.train_cfg.max_epochs for name, config in searched.items()}
    assert {epochs[f'A_detector_{rate}_0.5'] for rate in ('0.3', '1', '3')} == {2}
    lengths = {name.rsplit('_', 1)[1]: value for name, value in epochs.items() if not name.endswith('_0.5')}
    assert lengths == {'1': 4, '3': 12}
    rates = [configs[f'A_detector_{rate}_0.5'].lr for rate in ('0.3', '1', '3')]
    assert rates == pytest.approx([0.3 * rates[1], rates[1], 3 * rates[1]])
    assert [configs[f'A_detector_all_seed{seed}'].seed for seed in range(2)] == [0, 1]
    assert {config.norm for config in configs.values()} == {'frozen'}  # random weights, too


def test_the_config_is_that_of_finetune(tmp_path):
    labels = read_dense_labels('segmenter', str(make_masks(tmp_path / 'data', COUNT)))
    material = DenseMaterial(labels, (0,) * COUNT, tuple(range(COUNT)), tuple(range(12)), tuple(range(12, COUNT)))
    write_random_network(CONFIG, 5, tmp_path / 'start.pth')
    run = RunFolder(tmp_path / 'run')
    training = worth_training.Training(tmp_path / 'start.pth', material, range(4), range(5), 3, 7, 0.5, 6, 0, 0)
    worth_training.write_training(run, training)
    config = Config.fromfile(run / 'config.py')
    assert config.val_evaluator.type == 'lewel_plugins.RegionRecordMetric'
    assert config.val_evaluator.out_file == str(run / 'records.json')
    assert config.train_cfg.max_epochs == config.train_cfg.val_interval == 3 and config.randomness.seed == 7
    assert config.optim_wrapper.optimizer.lr == pytest.approx(3 * 0.01 * 2 / 16)
    assert config.model.backbone.type == 'lewel_plugins.ResNet10' and config.model.backbone.norm_eval
    assert config.model.data_preprocessor.mean == [120.0] * 3
    assert config.train_dataloader.num_workers == 0 and not config.val_dataloader.persistent_workers
    names = Path(config.val_dataloader.dataset.ann_file).read_text().split()
    assert names == [Path(image.path).stem for image in labels.images[:5]]


def test_a_judged_run_is_compared_with_random_weights_of_its_network(tmp_path, trainings):
    labels = make_masks(tmp_path / 'data', COUNT)
    photos = labels / 'images'
    run = write_run(tmp_path / 'run', photos, [path.name for path in sorted(photos.iterdir())], size=48)
    overrides = ('epochs=1', 'gpus=0', 'workers=0', 'transductive=True')  # the plan alone: another network
    result, _ = ask(labels, tmp_path / 'out', seeds=1, pretrained=run, overrides=overrides)
    assert result.status == 'finished' and {row['arm'] for row in result.table} == {'A', 'C'}
    config = Config.fromfile(tmp_path / 'out' / 'pretraining.py')
    assert config.model.backbone.type == 'lewel_plugins.ResNet10' and config.image_size == 48
    with pytest.raises(SetupError, match='run began with random weights'):
        ask(labels, tmp_path / 'other', seeds=1, pretrained=run, weights=run / 'epoch_1.pth', overrides=overrides)


def test_a_training_that_diverges_finds_nothing_and_others_fail(tmp_path, trainings):
    pytest.importorskip('pycocotools')
    labels = make_coco(tmp_path / 'data', COUNT)
    trainings.fails = {'C_detector_3_': TrainingError('FloatingPointError: the loss is not finite')}
    result, _ = ask(labels, tmp_path / 'out', seeds=1)
    scores = json.loads((tmp_path / 'out' / 'worth.json').read_text())['rates']['C_detector']['scores']
    assert scores['3'] == 0 and scores['1'] == 100 and result.status == 'finished'
    trainings.fails = {'A': TrainingError('the training failed: a disk is full')}
    with pytest.raises(TrainingError, match='a disk is full'):
        ask(labels, tmp_path / 'other', seeds=1)


def test_a_measurement_that_was_killed_is_made_anew(tmp_path, trainings, monkeypatch):
    pytest.importorskip('pycocotools')
    labels, calls = make_coco(tmp_path / 'data', COUNT), []

    def train(folder, lock, say, gpus):
        calls.append(folder.path.name)
        if len(calls) == 1:  # goes on from its last checkpoint, after which nothing is left to do
            (folder / FINISHED).write_text('{}')
            return Run(folder.path, 'finished')
        assert not (folder / FINISHED).exists()
        return trainings.train(folder, lock, say, gpus)

    monkeypatch.setattr(worth_training, 'train', train)
    assert ask(labels, tmp_path / 'out', seeds=1)[0].status == 'finished' and calls[0] == calls[1] != calls[2]


def test_cost_comes_first_and_is_kept(tmp_path, trainings):
    labels = make_coco(tmp_path / 'data', COUNT)
    result, lines = ask(labels, tmp_path / 'out', seeds=5, dry_run=True)
    assert result.status == 'planned' and not (tmp_path / 'out').exists() and not trainings.configs
    parts = [line.split()[:2] for line in lines if line.startswith(('  A', '  C'))]
    assert parts == [['A', 'fine-tuning'], ['C', 'pretraining'], ['C', 'fine-tuning']]
    assert f'at most {2 * (4 + 2 + 5)} trainings of a detector' in lines
    with pytest.raises(SetupError, match=r'--hours is 0\.001, but without seeds beyond 3 an answer takes about'):
        ask(labels, tmp_path / 'out', seeds=5, dry_run=True, hours=0.001)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(overrides=('finetune=False',)),
            r'finetune=False leaves nothing to measure: .* train a detector',
        ),
        (dict(group_by='patient'), r"--group-by 'patient' is unknown; accepted: folder; --labels has no columns"),
        (dict(group_by='folder'), r'there is no image with labels to test with'),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_written(tmp_path, trainings, options, message):
    labels = make_coco(tmp_path / 'data', COUNT)
    with pytest.raises(SetupError, match=message) as error:
        ask(labels, tmp_path / 'out', **options)
    assert '\n' not in str(error.value) and not (tmp_path / 'out').exists()


def test_a_library_that_is_missing_and_an_image_twice(tmp_path, trainings, monkeypatch):
    content = coco_content(COUNT)
    content['images'].append(dict(content['images'][0], id=99))
    labels = make_coco(tmp_path / 'data', COUNT, images=content['images'])
    with pytest.raises(SetupError, match=r'labels\.json has labels for .*/0\.png twice'):
        ask(labels, tmp_path / 'out')
    monkeypatch.undo()
    monkeypatch.setattr('lewel_plugins.api.finetune.find_spec', lambda name: None)
    with pytest.raises(SetupError, match='a segmenter needs mmseg, which is not installed'):
        ask(make_masks(tmp_path / 'masks'), tmp_path / 'out')


def test_which_labels_are_dense(tmp_path):
    coco, voc, masks = make_coco(tmp_path / 'coco', 4), make_voc(tmp_path / 'voc', 4), make_masks(tmp_path / 'masks', 4)
    assert [dense_task(str(path)) for path in (coco, coco.parent, voc, masks)] == ['detector'] * 3 + ['segmenter']
    write_image(tmp_path / 'classes' / 'cat' / '1.png', 1)
    (tmp_path / 'classes' / 'cat' / 'camera.json').write_text('{"images": 1}')
    (tmp_path / 'labels.csv').write_text('path,label\n')
    assert [dense_task(str(tmp_path / name)) for name in ('classes', 'labels.csv', 'nothing')] == [None] * 3


@pytest.mark.parametrize('make', [make_coco, make_voc, make_masks])
def test_labels_are_written_down(tmp_path, make):
    path = make(tmp_path / 'data', 6)
    task = dense_task(str(path))
    labels = read_dense_labels(task, str(path))
    assert len(labels.images) == 6
    (tmp_path / 'out').mkdir()
    labels.write(tmp_path / 'out' / 'labels.json')
    assert DenseLabels.read(tmp_path / 'out' / 'labels.json') == labels
    assert str(tmp_path) not in (tmp_path / 'out' / 'labels.json').read_text()
    rarest = labels.rarest_classes()
    if task == 'detector':
        assert [rarest.targets[i] for i in range(3)] == [0, len(labels.classes), 0]  # the second has no box
    else:
        Path(labels.images[0].mask).unlink()
        with pytest.raises(SetupError, match=r'0\.png is gone, and .*out needs it'):
            DenseLabels.read(tmp_path / 'out' / 'labels.json')
