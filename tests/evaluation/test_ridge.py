"""Ridge regression against scikit-learn and against the definitions."""

import numpy as np
import pytest
import torch

from lewel_plugins.evaluation.ridge import STRENGTHS, RidgeRegression, r2_score

pytestmark = pytest.mark.core


def data(rows=300, columns=12, targets=3, noise=0.5, seed=0):
    """Return correlated features of different scales, and targets that are linear in them up to noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) * np.logspace(-2, 2, columns) + 3
    y = (x - x.mean(0)) / x.std(0) @ rng.normal(size=(columns, targets)) + noise * rng.normal(size=(rows, targets)) - 5
    return torch.from_numpy(x), torch.from_numpy(y)


def gcv(x, y, strength):
    """Return the generalized cross-validation of one strength from the hat matrix itself."""
    count = len(x)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    hat = z @ torch.linalg.inv(z.T @ z + strength * torch.eye(z.shape[1])) @ z.T + 1 / count
    residual = y - hat @ y
    return float(residual.square().sum() / (1 - hat.trace() / count) ** 2)


def chosen(regression, y):
    centered = y - y.mean(0)
    return float(regression._choose_strength(centered, regression.axes.T @ (regression.x.T @ centered)))


@pytest.mark.parametrize('noise', [0.1, 3.0, 30.0])
def test_strength_minimizes_generalized_cross_validation(noise):
    x, y = data(rows=60, noise=noise)
    scores = [gcv(x, y, strength * len(x)) for strength in STRENGTHS.tolist()]
    assert chosen(RidgeRegression(x), y) == pytest.approx(STRENGTHS[int(np.argmin(scores))] * len(x))


def test_strength_grows_with_the_noise():
    strengths = [chosen(RidgeRegression(x), y) for x, y in (data(rows=60, noise=noise) for noise in (0.1, 3.0, 30.0))]
    assert strengths == sorted(set(strengths))


def test_equals_scikit_learn():
    linear_model = pytest.importorskip('sklearn.linear_model')
    metrics = pytest.importorskip('sklearn.metrics')
    (x, y), (test_x, test_y) = (tuple(t[rows] for t in data(400)) for rows in (slice(0, 300), slice(300, 400)))
    regression = RidgeRegression(x)
    prediction = regression.fit_predict(y, test_x)
    mean, std = x.mean(0), x.std(0, correction=0)
    reference = linear_model.Ridge(alpha=chosen(regression, y), solver='cholesky').fit((x - mean) / std, y)
    expected = reference.predict((test_x - mean) / std)
    np.testing.assert_allclose(prediction.numpy(), expected, rtol=1e-9, atol=1e-9)
    # The columns' variances weigh them, as in scikit-learn's option of that name.
    score = metrics.r2_score(test_y, expected, multioutput='variance_weighted')
    assert r2_score(test_y, prediction) == pytest.approx(score, abs=1e-12)
    # Leave-one-out chooses a strength that is as good.
    alphas = STRENGTHS.numpy() * len(x)
    other = linear_model.RidgeCV(alphas).fit((x - mean) / std, y).predict((test_x - mean) / std)
    score = metrics.r2_score(test_y, other, multioutput='variance_weighted')
    assert r2_score(test_y, prediction) == pytest.approx(score, abs=1e-3)


def test_a_linear_map_is_read_off_and_noise_is_not():
    x, y = data(400, noise=0.0)
    assert r2_score(y[300:], RidgeRegression(x[:300]).fit_predict(y[:300], x[300:])) == pytest.approx(1, abs=1e-9)
    noise = torch.randn(400, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert abs(r2_score(noise[300:], RidgeRegression(x[:300]).fit_predict(noise[:300], x[300:]))) < 0.05


def test_more_columns_than_rows_and_dead_columns():
    x, y = data(100)
    noise = torch.randn(100, 200, generator=torch.Generator().manual_seed(1))
    wide = torch.cat([x, noise, torch.full((100, 5), 7.1), torch.zeros(100, 5)], 1)
    prediction = RidgeRegression(wide[:80]).fit_predict(y[:80], wide[80:])
    assert prediction.isfinite().all()
    changed = wide[80:].clone()
    changed[:, -10:] += 3  # dead in training, so they must have no say
    assert torch.equal(RidgeRegression(wide[:80]).fit_predict(y[:80], changed), prediction)


def test_one_row_is_too_few():
    with pytest.raises(ValueError, match='at least 2 rows, got 1'):
        RidgeRegression(torch.zeros(1, 3))
