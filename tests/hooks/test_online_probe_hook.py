"""The online linear probe: its steps, also on ranks and after a resume, and a training that stays the same."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from helpers.ranks import on_ranks
from helpers.toy_runner import toy_runner
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from lewel_plugins.checkpoints import read_tensors
from lewel_plugins.datasets import LabeledSplit, PretrainDataset
from lewel_plugins.datasets.pretrain_dataset import SampleId
from lewel_plugins.hooks import OnlineProbeHook
from lewel_plugins.transforms import BrokenImageError

pytestmark = pytest.mark.core

SGD = dict(lr=0.5, momentum=0.9, weight_decay=0.01)
PROBE = [dict(type='lewel_plugins.OnlineProbeHook', interval=2)]


def batches(steps: int = 3) -> list[tuple[torch.Tensor, list[int]]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(8, 5, generator=generator), [0, 2, 1, -1, 1, 0, 2, 2]) for _ in range(steps)]


def weights_of(hook: OnlineProbeHook) -> torch.Tensor:
    return torch.cat([hook.probe.weight, hook.probe.bias[:, None]], 1).detach()


def trained(part: slice = slice(None)) -> OnlineProbeHook:
    hook = OnlineProbeHook(3, dict(type='SGD', **SGD))
    for features, labels in batches():
        hook.train_step(features[part], labels[part])
    return hook


def test_steps_are_those_of_torchs_linear_layer_and_cross_entropy():
    linear, hits = torch.nn.Linear(5, 3, dtype=torch.double), 0
    torch.nn.init.zeros_(linear.weight), torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.SGD(linear.parameters(), **SGD)
    for features, labels in batches():
        logits = linear(features.double())
        hits += sum(int(row.argmax()) == label for row, label in zip(logits, labels))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.tensor(labels), ignore_index=-1).backward()
        optimizer.step()
    hook = trained()
    expected = torch.cat([linear.weight, linear.bias[:, None]], 1)
    torch.testing.assert_close(weights_of(hook).double(), expected.detach(), rtol=1e-5, atol=1e-6)
    assert hook._hits.tolist() == [hits, 21]


def _on_rank(rank: int) -> torch.Tensor:
    return weights_of(trained(slice(rank, None, 2)))  # three and four labeled images


def test_two_ranks_train_the_classifier_of_one(tmp_path):
    for weights in on_ranks(2, tmp_path, _on_rank):
        torch.testing.assert_close(weights, weights_of(trained()), rtol=1e-5, atol=1e-6)


def run(folder: Path, **changes: object) -> Runner:
    torch.manual_seed(3)
    runner = toy_runner(folder, max_iters=6, val_interval=3, **changes)
    runner.train()
    return runner


def probe_of(runner: Runner) -> OnlineProbeHook:
    return next(hook for hook in runner.hooks if isinstance(hook, OnlineProbeHook))


def test_the_training_stays_the_same_and_a_resumed_one_has_the_same_classifier(tmp_path):
    plain = run(tmp_path / 'plain')
    state = torch.get_rng_state()
    probed = run(tmp_path / 'probed', custom_hooks=PROBE)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, probed.model.state_dict()[name]), name
    assert not probed.model.backbone._forward_hooks
    assert [type(metric).__name__ for metric in probed.val_loop.evaluator.metrics] == [
        'KNNMetric',
        'RepresentationMetric',
    ]

    names = ('train/probe_top1', 'val/probe/top1')
    scalars = {name: probed.message_hub.get_scalar(name).data[0].tolist() for name in names}
    assert [len(values) for values in scalars.values()] == [3, 2]
    images = [probed.val_dataloader.dataset[i] for i in range(10)]
    probed.model.eval()
    with torch.no_grad():
        rows = probed.model.backbone(torch.stack([image['inputs'] for image in images]))[-1].mean((2, 3))
        right = probe_of(probed).classify(rows).argmax(1) == torch.tensor(
            [int(one['data_samples'].gt_label) for one in images]
        )
    assert scalars['val/probe/top1'][-1] == pytest.approx(100 * float(right.double().mean()))

    half = str(tmp_path / 'probed' / 'iter_4.pth')
    resumed = run(tmp_path / 'resumed', custom_hooks=PROBE, load_from=half, resume=True)
    weights, again = weights_of(probe_of(probed)), weights_of(probe_of(resumed))
    assert torch.equal(weights, again) and weights.any()
    saved = read_tensors(half)['online_probe']
    assert not torch.equal(saved['probe']['bias'], weights[:, -1])


class _Annotations:
    """A data set of which only what it states about its images matters."""

    def __init__(self, classes: list[str] | None = None) -> None:
        self.metainfo = dict(classes=classes)

    def __len__(self) -> int:
        return 10

    def get_data_info(self, index: int) -> dict:
        return dict(gt_label=index) if index < 9 else {}


def _start(classes: list[str] | None = None, **arguments: object) -> OnlineProbeHook:
    runner = MagicMock(iter=0, model=MagicMock(backbone=torch.nn.Identity()))
    runner.train_dataloader.dataset = _Annotations(classes)
    hook = OnlineProbeHook(**arguments)
    hook.before_train(runner)
    samples = [DataSample(metainfo=dict(sample_idx=index)) for index in (7, 9, 3)] + [DataSample()]
    samples[2].set_gt_label(5)
    hook.before_train_iter(runner, 0, dict(data_samples=samples))
    return hook


def test_labels_of_samples_come_before_those_of_the_data_set():
    assert _start(num_classes=8)._labels == [7, -1, 5, -1]


class _Listed(BaseDataset):
    """Images of one class each; an image without a class is broken."""

    METAINFO = dict(classes=list('abcdefgh'))

    def __init__(self, labels: list[int | None]) -> None:
        self.labels = labels
        super().__init__(pipeline=[self.pack], serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return [dict(gt_label=label) for label in self.labels]

    @staticmethod
    def pack(info: dict) -> dict:
        if info['gt_label'] is None:
            raise BrokenImageError('7.jpg', 'it is empty')
        sample = DataSample(metainfo=dict(sample_idx=info['sample_idx'], truth=info['gt_label']))
        return dict(inputs=torch.zeros(1), data_samples=sample.set_gt_label(info['gt_label']))


@pytest.mark.parametrize('is_seeded', [True, False])
def test_labels_are_those_of_the_images_in_wrapped_data_sets(is_seeded, tmp_path):
    (tmp_path / 'split.txt').write_text('5\n3\n1\n')
    wrapped = [
        ConcatDataset([_Listed([0, 1, 2]), _Listed([3, 4])]),
        LabeledSplit(_Listed([0, 1, 2, 3, 4, 5]), str(tmp_path / 'split.txt')),
        _Listed([6, None, 5]),
    ]
    for dataset in (PretrainDataset(inner, labels=False) for inner in wrapped):
        runner = MagicMock(iter=0, model=MagicMock(backbone=torch.nn.Identity()))
        runner.train_dataloader.dataset = dataset
        hook = OnlineProbeHook()
        hook.before_train(runner)
        samples = [dataset[SampleId(i, 7) if is_seeded else i]['data_samples'] for i in range(len(dataset))]
        assert not any('gt_label' in sample for sample in samples)
        hook.before_train_iter(runner, 0, dict(data_samples=samples))
        assert hook._labels == [sample.truth for sample in samples] and len(set(hook._labels)) > 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_classes=1), 'num_classes must be at least 2, got 1'),
        (dict(interval=0), 'interval must be at least 1, got 0'),
        (dict(), 'does not state its classes: set num_classes'),
        (dict(classes=list('abcd')), 'num_classes = 4, classes 0 to 3, but an image has the label 7'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        _start(**arguments)


def test_a_checkpoint_with_other_classes_is_refused():
    hook, other = trained(), OnlineProbeHook(4)
    checkpoint: dict = {}
    hook.before_save_checkpoint(None, checkpoint)
    with pytest.raises(ValueError, match='in the checkpoint has 3 classes, and num_classes is 4'):
        other._restore(checkpoint['online_probe'], torch.device('cpu'))
