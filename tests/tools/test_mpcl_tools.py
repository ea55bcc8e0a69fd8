"""tools/analysis/projectors.py and alignment_uniformity.py on a run of a few iterations."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from helpers import pretraining
from helpers.pretraining import Run
from helpers.ranks import on_ranks
from helpers.tool_runs import ROOT, run

from lewel_plugins import functional as LF

pytestmark = pytest.mark.core

PROJECTORS = str(ROOT / 'tools' / 'analysis' / 'projectors.py')
MEASURES = str(ROOT / 'tools' / 'analysis' / 'alignment_uniformity.py')


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Return a folder with ``run/``, and with a ``config.py`` that has validation images."""
    folder = tmp_path_factory.mktemp('trained')
    pretraining.write_images(folder)
    task = Run('mpcl_moco', views='device')
    on_ranks(1, folder, pretraining.pretrain, task, folder, folder / 'run')
    config = pretraining.config(task, folder, folder / 'run', None)
    config.custom_imports = dict(imports=['helpers.tiny'])
    config.val_dataloader = dict(
        batch_size=4, dataset=dict(type='lewel_plugins.ImageTree', data_root=str(folder / '22'), pipeline=[])
    )
    config.dump(folder / 'config.py')
    return folder


def test_draws_the_projectors(trained):
    done = run(sys.executable, PROJECTORS, 'run', cwd=trained)
    assert done.returncode == 0, done.stdout
    assert (trained / 'run' / 'projectors.png').read_bytes().startswith(b'\x89PNG')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'analysis'))
    return importlib.import_module('alignment_uniformity')


def test_measures_a_checkpoint(trained, tool, monkeypatch):
    checkpoint = next((trained / 'run').glob('*_12.pth'))

    def measure(*options: str) -> dict:
        out = trained / 'measures.json'
        words = ['tool', str(trained / 'config.py'), str(checkpoint), '--out', str(out), *options]
        monkeypatch.setattr('sys.argv', words)
        tool.main()
        return json.loads(out.read_text())

    measures = measure()
    assert measures == measure()  # seeded views
    assert measures != measure('--seed', '1')
    assert measures != measure('--images', '11')
    assert measures['backbone'].keys() == {'alignment', 'uniformity'}
    assert measures['neck'].keys() == {'alignment', 'uniformity', 'projector_cosine'}
    for values in measures.values():
        assert 0 < values['alignment'] < 4 and -8 < values['uniformity'] < 0
    with pytest.raises(SystemExit):
        measure('--images', '1')


def test_summary_is_the_mean_over_projectors_and_views(tool):
    x, y = (torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    measures = tool.summarize(dict(backbone=[x[0], y[0]], neck=[x, y]))
    assert measures['backbone']['alignment'] == pytest.approx(LF.alignment(x[0], y[0]).item())
    assert measures['backbone']['uniformity'] == pytest.approx((LF.uniformity(x[0]) + LF.uniformity(y[0])).item() / 2)
    assert measures['neck']['alignment'] == pytest.approx(sum(LF.alignment(a, b).item() for a, b in zip(x, y)) / 3)
    cosine = sum(LF.projector_regularization(view, 'cosine').item() for view in (x, y)) / 2
    assert measures['neck']['projector_cosine'] == pytest.approx(cosine)


def test_a_missing_checkpoint_is_named(trained):
    done = run(sys.executable, MEASURES, 'config.py', 'nowhere.pth', cwd=trained)
    assert done.returncode == 1 and "error: checkpoint 'nowhere.pth' does not exist" in done.stdout
