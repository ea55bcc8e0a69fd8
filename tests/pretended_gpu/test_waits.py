"""An iteration waits for the GPU only where losses are logged, once; a failure lists the lines that wait."""

import inspect
from pathlib import Path

import pytest
from helpers.pretended_gpu.gpu import PretendedGPU
from helpers.pretended_gpu.training import METHODS, Result, config, train
from helpers.pretraining import write_images
from helpers.toy_runner import toy_runner
from mmengine.config import Config
from mmengine.hooks import Hook

from lewel_plugins.evaluation.collect import collect
from lewel_plugins.evaluation.extraction import extract_features
from lewel_plugins.evaluation.feature_loop import labels_and_indices
from lewel_plugins.hooks import OnlineProbeHook
from lewel_plugins.models.features import pooled_features

INTERVAL, ITERATIONS = 3, 6
READ = 'lewel_plugins/hooks/deferred_runtime_info_hook.py'  # reads all losses since the last time
BALANCE = 'lewel_plugins/models/projector_balance.py'  # reads accuracies once per epoch of MPCL's PTB


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


def quiet_config(method: str, images: Path, work_dir: Path) -> Config:
    """Return a training of one epoch that logs every third iteration, and in which no other hook reads anything."""
    cfg = config(method, images, work_dir, number=4 * ITERATIONS)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger.interval = INTERVAL
    cfg.default_hooks.monitor.interval = 100
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    for hook in cfg.custom_hooks:
        if hook['type'] == 'lewel_plugins.SMoGResetHook':
            hook.update(interval=100)
    return cfg


def unexpected_waits(result: Result) -> list[str]:
    """Return the waits that should not be there, one line each."""
    lines = []
    for iteration, step in result.steps.items():
        allowed = {READ: 1} if iteration % INTERVAL == 0 else {}
        if iteration == ITERATIONS:
            allowed[BALANCE] = 1
        for wait, count in step.waits.items():
            file = wait.split(', ')[1].split(':')[0]
            if count > allowed.get(file, 0):
                lines.append(f'iteration {iteration}: {wait} ({count} times)')
    return lines


@pytest.mark.parametrize('method', [method for method in METHODS if method != 'byol'])
def test_an_iteration_waits_only_where_losses_are_logged(method, images, tmp_path):
    result = train(quiet_config(method, images, tmp_path))
    lines = unexpected_waits(result)
    assert not lines, '\n'.join(lines)
    for iteration in range(INTERVAL, ITERATIONS + 1, INTERVAL):
        assert any(READ in wait for wait in result.steps[iteration].waits)


def test_byol_of_mmpretrain_waits_in_its_own_code_only(images, tmp_path):
    """It reads the number of its steps from a buffer, once per parameter of the teacher."""
    lines = unexpected_waits(train(quiet_config('byol', images, tmp_path)))
    assert any('mmpretrain/models/utils/ema.py' in line for line in lines)
    others = [line for line in lines if 'mmpretrain/models/' not in line]
    assert not others, '\n'.join(others)


def test_the_online_probe_waits_for_nothing(images, tmp_path):
    probe = OnlineProbeHook(num_classes=3, interval=100)
    assert not unexpected_waits(train(quiet_config('lewel_m', images, tmp_path), hooks=[probe]))
    assert probe.probe.weight.grad is not None


class ReadsEveryLoss(Hook):
    """A hook that a user may write."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.last = float(outputs['loss'].detach())  # the line that is to be named


def test_a_hook_that_reads_the_loss_is_named(images, tmp_path):
    result = train(quiet_config('lewel_m', images, tmp_path), hooks=[ReadsEveryLoss()])
    lines = Path(__file__).read_text(encoding='utf-8').split('\n')
    (place,) = (i for i, line in enumerate(lines, 1) if line.endswith('# the line that is to be named'))
    wait = f'read by the host, tests/pretended_gpu/test_waits.py:{place} (1 times)'
    assert unexpected_waits(result) == [f'iteration {i}: {wait}' for i in range(1, ITERATIONS + 1)]


def test_mmengines_reading_of_every_loss_is_named(images, tmp_path):
    cfg = quiet_config('lewel_m', images, tmp_path)
    cfg.default_hooks.runtime_info = dict(type='RuntimeInfoHook')
    lines = unexpected_waits(train(cfg))
    assert len(lines) == ITERATIONS
    assert all('mmengine/logging/message_hub.py' in line and '(3 times)' in line for line in lines)  # 3 losses


def test_a_blocking_copy_of_the_images_is_named(images, tmp_path):
    cfg = quiet_config('lewel_m', images, tmp_path)
    settings = cfg.model.data_preprocessor
    cfg.model.data_preprocessor = dict(type='mmpretrain.SelfSupDataPreprocessor', mean=settings.mean, std=settings.std)
    view = [dict(type='lewel_plugins.LoadRGB'), dict(type='Resize', scale=(16, 16))]
    cfg.train_dataloader.dataset.dataset.pipeline = [
        view[0],
        dict(type='MultiView', num_views=[2], transforms=[view[1:]]),
        dict(type='PackInputs'),
    ]
    lines = unexpected_waits(train(cfg))
    assert {line.split(', ')[0] for line in lines} == {f'iteration {i}: copy from the host' for i in range(1, 7)}


def test_labels_are_read_before_the_data_preprocessor_moves_them(tmp_path):
    """``ClsDataPreprocessor`` of mmpretrain changes the samples of the batch."""
    gpu = PretendedGPU()
    with gpu.active():
        runner = toy_runner(tmp_path, **{'model.data_preprocessor': dict(type='ClsDataPreprocessor')})
        loader = runner.val_loop.bank_dataloader
        gpu.counters.clear()
        by_loop = runner.val_loop._extract('bank', loader)
        extracted = extract_features(runner.model, loader, 'title')
        collected = collect(loader, lambda batch: pooled_features(runner.model, batch), 'title')
        waits = list(gpu.counters.waits)
        labels = [by_loop.label.tolist(), extracted.label.tolist(), collected.labels.tolist()]
    assert labels == [[i % 4 for i in range(22)]] * 3
    lines, start = inspect.getsourcelines(labels_and_indices)
    places = {f'lewel_plugins/evaluation/feature_loop.py:{line}' for line in range(start, start + len(lines))}
    assert not [source for _, source in waits if source in places]
