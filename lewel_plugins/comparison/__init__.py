"""Comparisons: trainings of several configs under several seeds, and one table of their results.

``tools/compare.py`` runs them.
"""
