import json
import logging

import pytest
import torch
from helpers.toy_runner import run_on_ranks, toy_runner

from lewel_plugins import functional as LF
from lewel_plugins.evaluation.representation_metric import spectrum_at_quartiles
from lewel_plugins.hooks import CollapseError, RepresentationMonitorHook

pytestmark = pytest.mark.core


def _hook(**arguments) -> dict:
    return {'default_hooks.monitor': dict(type='lewel_plugins.RepresentationMonitorHook', **arguments)}


def _logged(runner, name: str) -> list[float]:
    return list(runner.message_hub.get_scalar(f'train/{name}').data[0])


class _Listen:
    def __init__(self, module):
        self.calls = []
        module.register_forward_hook(lambda _, inputs, output: self.calls.append(output[0].detach()))


def test_logs_the_measures_of_the_embeddings(tmp_path):
    runner = toy_runner(tmp_path, max_iters=4, **_hook(interval=2))
    neck = _Listen(runner.model.neck)
    runner.train()
    assert len(neck.calls) == 8  # two views; the teacher's neck is another module
    for name in ['std', 'rank_me', 'uniformity', 'alignment']:
        assert len(_logged(runner, name)) == 2, name
    z1, z2 = neck.calls[6:]
    unit = torch.nn.functional.normalize(z1, dim=1), torch.nn.functional.normalize(z2, dim=1)
    std = sum(u.std(0, correction=0).mean().item() * 16**0.5 for u in unit) / 2
    assert _logged(runner, 'std')[-1] == pytest.approx(std, rel=1e-5)
    rank = (LF.rank_me(z1) + LF.rank_me(z2)).item() / 2
    assert _logged(runner, 'rank_me')[-1] == pytest.approx(rank, rel=1e-5)
    assert _logged(runner, 'uniformity')[-1] == pytest.approx(LF.uniformity(z1).item(), rel=1e-5)
    spectrum = (LF.covariance_spectrum(z1) + LF.covariance_spectrum(z2)) / 2  # (16,), of 8 images
    for share, position in ((0, 0), (25, 4), (50, 8), (75, 12)):
        assert _logged(runner, f'spectrum_{share}')[-1] == pytest.approx(spectrum[position].item(), rel=1e-4, abs=1e-9)
    assert _logged(runner, 'alignment')[-1] == pytest.approx(LF.alignment(z1, z2).item(), rel=1e-5)
    # The values that LoggerHook passes to the backends of the visualizer.
    scalars = [json.loads(line) for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    assert [('rank_me' in line) for line in scalars if 'loss' in line] == [False, True, True, True]


def test_one_view_has_no_alignment_and_teacher_momentum_is_logged(tmp_path):
    runner = toy_runner(tmp_path, max_iters=1, **_hook(interval=1))
    neck = runner.model.neck
    runner.model.teacher = torch.nn.Module()
    runner.model.teacher.momentum = 0.25

    def loss(inputs, data_samples):
        return dict(loss=neck(runner.model.backbone(inputs[0]))[0].square().mean())

    runner.model.loss = loss
    runner.train()
    assert 'train/alignment' not in runner.message_hub.log_scalars
    assert _logged(runner, 'teacher_momentum') == [0.25]
    assert len(_logged(runner, 'std')) == 1


def test_views_that_share_a_call_are_measured_as_those_that_do_not(tmp_path):
    logged = {}
    for share in (False, True):
        runner = toy_runner(tmp_path / str(share), max_iters=1, **_hook(interval=1))
        model = runner.model.eval()
        model.train = lambda mode=True, model=model: model  # batch norm in a shared call has other statistics

        def loss(inputs, data_samples, model=model, share=share):
            calls = [torch.cat([*inputs, inputs[0] + 1])] if share else [*inputs, inputs[0] + 1]
            outs = [model.neck(model.backbone(x))[0] for x in calls]
            return dict(loss=torch.cat(outs).square().mean())

        model.loss = loss
        runner.train()
        names = ['std', 'rank_me', 'uniformity', 'alignment', 'spectrum_0', 'spectrum_25']
        logged[share] = [_logged(runner, name)[-1] for name in names]
        assert not model._forward_pre_hooks
    assert logged[True] == pytest.approx(logged[False], rel=1e-5)


def test_changes_nothing(tmp_path):
    weights = []
    for name, hooks in (('with', _hook(interval=1)), ('without', {})):
        runner = toy_runner(tmp_path / name, **hooks)
        runner.train()
        weights.append(runner.model.state_dict())
        assert not runner.model.neck._forward_hooks
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values()))


class _Warnings(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        if 'COLLAPSE' in record.getMessage():
            self.messages.append(record.getMessage())


def _collapse(runner) -> None:
    """Make every embedding the same."""
    runner.model.neck.register_forward_hook(lambda _, inputs, output: [output[0] * 0 + 1])


def _runner_that_collapses(folder, **arguments):
    runner = toy_runner(folder, max_iters=6, **_hook(interval=1, **arguments))
    _collapse(runner)
    return runner


def test_warns_after_patience_checks(tmp_path):
    runner = _runner_that_collapses(tmp_path, patience=3)
    handler = _Warnings()
    runner.logger.addHandler(handler)
    runner.train()
    assert len(handler.messages) == 2  # at iterations 3 and 6
    assert 'embeddings at iteration 3' in handler.messages[0]
    assert '(bound 0.03)' in handler.messages[0] and '(bound 2)' in handler.messages[0]
    assert 'for 3 checks in a row' in handler.messages[0]


def test_stops_before_saving(tmp_path):
    runner = _runner_that_collapses(tmp_path, patience=2, stop=True)
    with pytest.raises(CollapseError, match='embeddings at iteration 2 .*lower learning rate'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))  # iteration 2 would have been saved


def test_a_good_check_starts_the_count_anew_and_validation_counts_on_its_own(tmp_path):
    runner = toy_runner(tmp_path)
    handler = _Warnings()
    runner.logger.addHandler(handler)
    runner.train_loop  # noqa: B018 - builds it: the hook names the iteration
    hook = RepresentationMonitorHook(min_std=0.1, min_rank=2, patience=2)
    good, bad = dict(std=0.5, rank_me=5.0), dict(std=0.5, rank_me=1.5)
    for measures in (bad, good, bad, good):
        hook._judge(runner, 'train', 'it', measures)
    for measures in (bad, good, bad):
        hook.after_val_epoch(runner, {f'representation/{k}': v for k, v in measures.items()})
    hook.after_val_epoch(runner, {'knn/top1': 50.0})
    hook._judge(runner, 'train', 'it', bad)
    assert not handler.messages
    hook.after_val_epoch(runner, {f'representation/{k}': v for k, v in bad.items()})
    assert len(handler.messages) == 1 and 'the backbone features' in handler.messages[0]
    assert 'rank_me 1.5 (bound 2)' in handler.messages[0] and 'std' not in handler.messages[0].split('Check')[0]


def test_training_from_scratch_does_not_alarm(tmp_path):
    runner = toy_runner(tmp_path, max_iters=8, **_hook(interval=1, patience=1, stop=True))
    runner.train()


def _on_rank(rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z1, z2 = torch.randn(2, 8, 5, generator=generator)
    half = slice(4 * rank, 4 * rank + 4)
    measure = RepresentationMonitorHook()._measure
    spectrum = spectrum_at_quartiles((LF.covariance_spectrum(z1) + LF.covariance_spectrum(z2)) / 2)
    assert measure([z1[half], z2[half]]) == pytest.approx(
        dict(
            rank_me=(LF.rank_me(z1) + LF.rank_me(z2)).item() / 2,
            uniformity=LF.uniformity(z1).item(),
            alignment=LF.alignment(z1, z2).item(),
            std=measure([z1[half], z2[half]])['std'],
            **{name: value.item() for name, value in spectrum.items()},
        ),
        rel=1e-5,
    )
    got = torch.tensor(list(measure([z1[half], z2[half]]).values()))
    other = [torch.empty_like(got) for _ in range(2)]
    torch.distributed.all_gather(other, got)
    assert torch.equal(*other)


def _not_finite(rank: int) -> None:
    z = torch.randn(4, 5)
    if rank:
        z[1, 2] = float('nan')
    assert RepresentationMonitorHook()._measure([z]) is None


def _fails(x):
    raise torch.linalg.LinAlgError('linalg.eigh: the algorithm failed to converge\nsecond line')


def _fails_on_the_first_rank(rank: int) -> None:
    hook, z = RepresentationMonitorHook(), torch.randn(4, 5)
    measure = LF.rank_me_and_spectrum
    if rank == 0:
        LF.rank_me_and_spectrum = _fails
    try:
        assert hook._measure([z]) is None
    finally:
        LF.rank_me_and_spectrum = measure
    assert hook._measure([z]) is not None and not hook._failure


def test_eigenvalues_that_fail_on_the_first_rank_are_none_on_all():
    run_on_ranks(2, _fails_on_the_first_rank)


def test_eigenvalues_that_fail_are_one_warning(tmp_path, monkeypatch):
    runner = toy_runner(tmp_path, max_iters=3, **_hook(interval=1))
    lines: list[str] = []
    monkeypatch.setattr(runner.logger, 'warning', lambda message, *_: lines.append(message))
    monkeypatch.setattr(LF, 'rank_me_and_spectrum', _fails)
    runner.train()
    assert runner.iter == 3 and 'train/rank_me' not in runner.message_hub.log_scalars
    (line,) = (line for line in lines if 'RepresentationMonitorHook' in line)
    assert 'the embeddings at iteration 1 could not be measured' in line and 'failed to converge)' in line
    assert not any('NaN' in line for line in lines)


def test_every_rank_sees_an_entry_that_is_not_finite():
    run_on_ranks(2, _not_finite)


def test_ranks_measure_the_global_batch():
    run_on_ranks(2, _on_rank)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(interval=0), 'interval must be at least 1, got 0'),
        (dict(patience=0), 'patience must be at least 1, got 0'),
        (dict(min_std=1.5), r'must be in \[0, 1\), got 1.5'),
        (dict(min_rank=0.5), 'must be at least 1, got 0.5'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RepresentationMonitorHook(**arguments)


def test_model_without_a_neck(tmp_path):
    runner = toy_runner(tmp_path, **_hook())
    runner.model.neck = None
    with pytest.raises(ValueError, match='reads model.neck, but .*BYOL.* has none'):
        runner.train()


def test_projectors_are_measured_side_by_side():
    hook, z = RepresentationMonitorHook(), torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    hook._capture(torch.nn.Identity(), (), z)
    assert hook._captured == []  # in an iteration that is not measured
    hook._listening = True
    hook._capture(torch.nn.Identity(), (), z)
    (joint,) = hook._captured
    expected = torch.cat([torch.nn.functional.normalize(one, dim=1) for one in z], 1)
    torch.testing.assert_close(joint, expected)
    hook._capture(torch.nn.Identity(), (), z.roll(1, 1))
    measured = hook._measure(hook._captured)
    single = [LF.alignment(one, other).item() for one, other in zip(z, z.roll(1, 1))]
    assert measured['alignment'] == pytest.approx(sum(single) / 3, rel=1e-5)
