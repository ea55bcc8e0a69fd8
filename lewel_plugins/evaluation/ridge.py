"""Ridge regression in closed form, float64, with its strength by generalized cross-validation."""

import torch
from torch import Tensor

STRENGTHS = torch.logspace(-6, 2, 17, dtype=torch.float64)
"""Strengths to choose from, per row and for features of unit variance."""


class RidgeRegression:
    """Linear regression with an intercept and an L2 penalty, from one set of features to any number of targets.

    Features are standardized; constant ones are ignored. The eigenvalues of their covariance are computed once, after
    which each strength and each target cost a product with a vector.

    Args:
        x: Features, (N, D), N ≥ 2.

    Raises:
        ValueError: If there are fewer than two rows.
    """

    def __init__(self, x: Tensor) -> None:
        if len(x) < 2:
            raise ValueError(f'a regression needs at least 2 rows, got {len(x)}')
        x = x.double()
        self.mean, self.std = x.mean(0), x.std(0, correction=0)
        self.x = self._standardized(x)
        eigenvalues, self.axes = torch.linalg.eigh(self.x.T @ self.x)
        self.eigenvalues = eigenvalues.clamp_min(0)  # (D,)

    def _standardized(self, x: Tensor) -> Tensor:
        is_constant = self.std <= 1e-9 * self.mean.abs()
        return ((x.double() - self.mean) / self.std).masked_fill(is_constant, 0.0)

    def fit_predict(self, y: Tensor, x: Tensor) -> Tensor:
        """Fit the training targets, and predict the targets of other features.

        Args:
            y: Targets of the training features, (N, k). They share one strength.
            x: Features to predict for, (M, D).

        Returns:
            Predictions, (M, k) float64.
        """
        y = y.double()
        center = y.mean(0)
        projected = self.axes.T @ (self.x.T @ (y - center))  # (D, k)
        strength = self._choose_strength(y - center, projected)
        weights = self.axes @ (projected / (self.eigenvalues + strength)[:, None])
        return center + self._standardized(x) @ weights

    def _choose_strength(self, y: Tensor, projected: Tensor) -> Tensor:
        """Return the strength with the lowest RSS / (1 − degrees of freedom / N)², (), of :data:`STRENGTHS` times N.

        Golub, Heath and Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, 1979.
        """
        count = len(y)
        strengths = STRENGTHS * count
        spectrum = self.eigenvalues + strengths[:, None]  # (S, D)
        squares = projected.square().sum(1)
        explained = (squares * (self.eigenvalues + 2 * strengths[:, None]) / spectrum.square()).sum(1)
        rss = (y.square().sum() - explained).clamp_min(0)
        freedom = 1 + (self.eigenvalues / spectrum).sum(1)
        return strengths[(rss / (1 - freedom / count).clamp_min(1e-9).square()).argmin()]


def r2_score(y: Tensor, prediction: Tensor) -> float:
    """Return the share of the variance of targets (M, k) that predictions explain, summed over the k columns."""
    total = (y - y.mean(0)).square().sum()
    return float(1 - (y - prediction).square().sum() / total)
