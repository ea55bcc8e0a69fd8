"""Small versions of the measurements of the input path."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.tool_runs import run

BENCHMARKS = Path(__file__).parents[2] / 'tools' / 'measurements'
sys.path.append(str(BENCHMARKS))

import input_equivalence  # noqa: E402
import input_speed  # noqa: E402


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    pytest.importorskip('skimage')
    path = tmp_path_factory.mktemp('photographs')
    input_speed.write_photographs(path, 4, quality=90)
    return path


@pytest.mark.parametrize(('shift', 'is_found'), [(0.0, False), (0.2, True)])
def test_kolmogorov_smirnov(shift, is_found):
    a, b = np.random.default_rng(0).normal(size=(2, 2000))
    distance, p = input_equivalence.kolmogorov_smirnov(a, b + shift)
    assert (p < 1e-4) == is_found and (distance > 0.05) == is_found
    assert input_equivalence.kolmogorov_smirnov(a, a) == (0, 1)


def test_views_are_distributed_as_torchvisions(folder):
    """Compare fewer and smaller views than the measurement. A scheme of other strengths is detected."""
    paths = [str(path) for path in sorted(folder.glob('*.jpg'))]
    views = [dict(size=64, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=0.5, solarize=0.2)]
    input_equivalence.seed(0)
    reference = input_equivalence.measure(input_equivalence.make_torchvisions(paths, views, 150))

    def differing(make, views):
        values = input_equivalence.measure(make(paths, views, 150))
        pairs = zip(input_equivalence.STATISTICS, reference, values)
        return input_equivalence.differs({n: input_equivalence.kolmogorov_smirnov(a, b) for n, a, b in pairs})

    assert reference.shape == (7, 600)
    assert differing(input_equivalence.make_ours, views) == []
    assert differing(input_equivalence.make_on_device, views) == []
    assert 'saturation' in differing(input_equivalence.make_ours, [dict(views[0], gray=0.5)])
    assert 'blur' in differing(input_equivalence.make_ours, [dict(views[0], blur=1.0)])


def test_speed_table(folder, tmp_path):
    command = [sys.executable, str(BENCHMARKS / 'input_speed.py'), '--images', '2', '--repeats', '1']
    done = run(*command, '--schemes', 'MSBReg, 4 views', '--out', 'speed.json', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    text = (tmp_path / 'speed.md').read_text()
    assert '| MSBReg, 4 views | ' in text and '| floor | ' in text and 'commit' in text


def test_rate_of_a_data_loader(folder):
    assert 0 < input_speed.rate_with_workers(input_speed.Floor(folder, 'MSBReg, 4 views'), workers=1, views=4) < 1e6
