from torch import Tensor


def check_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Raise ValueError if two arguments differ in shape."""
    if a.shape != b.shape:
        raise ValueError(f'{name_a} and {name_b} must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}')


def check_temperature(tau: float) -> None:
    """Raise ValueError if τ is not positive."""
    if not tau > 0:
        raise ValueError(f'tau must be positive, got {tau}')
