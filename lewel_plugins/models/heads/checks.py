def check_temperature(temperature: float) -> float:
    """Return τ if it is positive, else raise ValueError."""
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    return temperature


def check_beta(beta: float) -> float:
    """Return β if it is in [0, 1], else raise ValueError."""
    if not 0 <= beta <= 1:
        raise ValueError(f'beta weighs the aligned against the global loss and must be in [0, 1], got {beta}')
    return beta
