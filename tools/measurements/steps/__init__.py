"""Cost of a training step: the measurements behind ``tools/measurements/step.py``."""
