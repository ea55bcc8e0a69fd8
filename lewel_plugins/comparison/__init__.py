"""Comparisons: rows of configs × seeds, run, resumed, and put into a table. The tool is ``tools/compare.py``."""
