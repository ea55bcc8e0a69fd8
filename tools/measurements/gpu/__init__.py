"""What ``tools/gpu_check.py`` measures on a GPU: the rows, their processes, their record, and the page."""
