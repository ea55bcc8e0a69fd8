"""The functions of ``lewel_plugins`` take what the commands take; ``say`` receives their lines."""

import inspect

import pytest

import lewel_plugins
from lewel_plugins.api.check import Check
from lewel_plugins.api.training import Run
from lewel_plugins.api.worth_session import Worth
from lewel_plugins.planning.findings import Finding

pytestmark = pytest.mark.core
TRAINING = (
    "method='lewel-m', backbone=None, weights=None, epochs=None, hours=None, batch_size=None, image_size=None, "
    "gpus='all', workers=None, labels=None, holdout=None, seed=0, overrides=None"
)
SIGNATURES = {
    'pretrain': f'(images, out, *, {TRAINING}, dry_run=False)',
    'check': f'(images, *, {TRAINING}, out=None, seconds=120, json=None)',
    'report': '(*runs, out=None, images=True)',
    'worth': '(images, labels, out, *, weights=None, pretrained=None, fractions=(0.01, 0.1, 1), seeds=5, margin=1.0, '
    'group_by=None, hours=None, overrides=None, dry_run=False)',
    'finetune': "(task, start, data, out, *, epochs=None, gpus='all', seed=0, overrides=None, dry_run=False)",
    'export': '(run, to, out=None)',
}


@pytest.mark.parametrize('name', SIGNATURES)
def test_the_arguments_of_a_function(name):
    parameters = inspect.signature(getattr(lewel_plugins, name)).parameters.values()
    without_say = [each.replace(annotation=inspect.Parameter.empty) for each in parameters if each.name != 'say']
    assert str(inspect.Signature(without_say)) == SIGNATURES[name]


@pytest.mark.parametrize(
    ('kind', 'names'),
    [
        (Run, 'path status config plan checkpoint backbone metrics verdict'),
        (Check, 'ok findings plan memory time verdict'),
        (Finding, 'level code text files'),
        (Worth, 'path status verdicts table report'),
    ],
)
def test_the_attributes_of_a_result(kind, names):
    assert set(names.split()) <= {*dir(kind), *kind.__dataclass_fields__}
