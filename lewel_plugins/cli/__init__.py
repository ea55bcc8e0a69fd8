"""The command ``lewel``. Nothing here imports torch before the arguments are known to be right."""
