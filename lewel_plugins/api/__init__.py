"""The commands of ``lewel`` as functions. ``import lewel_plugins`` has them without importing torch."""
