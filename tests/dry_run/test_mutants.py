"""A dry run notices mistakes in the code of the methods, and names their lines."""

from pathlib import Path

import pytest
from helpers import pretraining
from helpers.mutants import MUTANTS, Mutant, mutated
from mmengine.config import Config

from lewel_plugins.dry_run.errors import StepError
from lewel_plugins.dry_run.step import DryRun


def config(method: str) -> Config:
    """Return the config of a tiny training in bfloat16."""
    cfg = pretraining.config(pretraining.Run(method, views='device'), Path('images'), Path('work_dir'), None)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    return cfg


@pytest.mark.parametrize('method', sorted({mutant.method for mutant in MUTANTS.values()}))
def test_a_method_has_no_mistake(method):
    record = DryRun(config(method), 2).measure()
    assert not record.counters.waits and not record.low_precision_losses


@pytest.mark.parametrize('mutant', MUTANTS.values(), ids=MUTANTS)
def test_a_mistake_is_noticed_and_its_line_is_named(mutant: Mutant):
    with mutated(mutant) as line:
        if mutant.error:
            with pytest.raises(StepError) as caught:
                DryRun(config(mutant.method), 2).measure()
            assert caught.value.message.startswith(mutant.error) and caught.value.source == line
            return
        record = DryRun(config(mutant.method), 2).measure()
    if mutant.is_low:
        assert record.low_precision_losses
    else:
        assert (mutant.wait, line) in record.counters.waits
