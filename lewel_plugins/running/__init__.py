"""From a command to a run: configs, processes, files and folders."""
