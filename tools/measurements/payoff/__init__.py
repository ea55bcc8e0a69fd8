"""The code of ``worth.py``: scenes, experiments, and the same questions on images that no experiment has seen."""
