def check_weight(weight: float) -> float:
    """Return a loss's weight if it is at least 0, else raise ValueError."""
    if not weight >= 0:
        raise ValueError(f'the weight of a loss must be at least 0, got {weight}')
    return weight
