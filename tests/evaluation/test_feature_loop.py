import pytest
import torch
from helpers.toy_runner import run_on_ranks, toy_runner
from mmengine.hooks import Hook

from lewel_plugins.evaluation.knn import knn_classes
from lewel_plugins.models.features import pooled_features

pytestmark = pytest.mark.core


class _Calls(Hook):
    def __init__(self):
        self.names = []

    def before_val(self, runner):
        self.names.append('before_val')

    def after_val(self, runner):
        self.names.append('after_val')

    def before_val_epoch(self, runner):
        self.names.append('before_val_epoch')

    def after_val_epoch(self, runner, metrics=None):
        self.names.append('after_val_epoch')

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.names.append('before_val_iter')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.names.append('after_val_iter')


def _naive_top1(runner) -> float:
    def features(loader):
        dataset = loader.dataset
        images = torch.stack([dataset[i]['inputs'] for i in range(len(dataset))])
        return runner.model.backbone(images)[-1].mean((2, 3)), torch.arange(len(dataset)) % 4

    runner.model.eval()
    with torch.no_grad():
        (bank, labels), (query, target) = map(features, (runner.val_loop.bank_dataloader, runner.val_dataloader))
    return 100 * (knn_classes(query, bank, labels, 4, [3])[0] == target).double().mean().item()


def test_val_and_test_measure_the_backbone(tmp_path):
    runner = toy_runner(tmp_path)
    calls = _Calls()
    runner.register_hook(calls)
    metrics = runner.val()
    assert metrics['knn/top1'] == pytest.approx(_naive_top1(runner))
    measures = ('std', 'std_raw', 'rank_me', 'uniformity', *(f'spectrum_{share}' for share in (0, 25, 50, 75)))
    assert set(metrics) == {'knn/top1'} | {f'representation/{m}' for m in measures}
    one_batch = ['before_val_iter', 'after_val_iter']
    assert calls.names == ['before_val', 'before_val_epoch', *one_batch * 3, 'after_val_epoch', 'after_val']
    assert runner.test() == {'knn/top1': metrics['knn/top1']}


def test_validation_during_training_changes_no_weight(tmp_path):
    weights = []
    for interval in (1, 1000):
        runner = toy_runner(tmp_path / str(interval), val_interval=interval)
        runner.train()
        weights.append(runner.model.state_dict())
        validations = len(runner.message_hub.get_scalar('val/knn/top1').data[0])
        assert validations == (4 if interval == 1 else 1)  # mmengine also validates at the end
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values()))


def _on_rank(rank: int, folder: str, expected: dict) -> None:
    runner = toy_runner(f'{folder}/ranks')
    torch.testing.assert_close(dict(runner.val()), expected, rtol=1e-4, atol=1e-4)
    assert len(runner.val_dataloader) == 2 and len(runner.val_loop.bank_dataloader) == 3


def test_two_ranks_equal_one_process(tmp_path):
    """Validate 10 queries with a bank of 22 images, in batches of 4; the runner uses the existing process group."""
    run_on_ranks(2, _on_rank, str(tmp_path), dict(toy_runner(tmp_path / 'one').val()))


def test_images_as_a_list_are_stacked(tmp_path):
    runner = toy_runner(tmp_path)
    model = runner.model.eval()
    images = torch.randn(4, 3, 16, 16)
    samples = [None] * 4
    stacked = pooled_features(model, dict(inputs=images, data_samples=samples))
    assert stacked.shape == (4, 64)
    assert torch.equal(stacked, pooled_features(model, dict(inputs=list(images), data_samples=samples)))
    with pytest.raises(ValueError, match='the evaluation pipeline makes 2'):
        pooled_features(model, dict(inputs=[images, images], data_samples=samples))


def test_features_that_cannot_be_measured(tmp_path):
    runner = toy_runner(tmp_path)
    torch.nn.init.constant_(runner.model.backbone.conv1.weight, float('nan'))
    with pytest.raises(ValueError, match='the features of 22 bank images are NaN or infinite'):
        runner.val()

    class Tokens(torch.nn.Module):
        def forward(self, x):
            return (torch.zeros(len(x), 5, 7),)

    runner.model.backbone = Tokens()
    with pytest.raises(ValueError, match=r'got \(4, 5, 7\); for a ViT of mmpretrain set out_type'):
        runner.val()
