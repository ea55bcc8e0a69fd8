"""A training step on a GPU that is not there: what a recipe needs, and what CUDA would refuse.

``tools/dry_run.py`` is the command. A step runs on torch's fake tensors, which have shape, dtype and device, but no
memory, so that a ResNet-50 at its real batch takes seconds on a laptop.

- ``command``: the command line; ``report``: dict, text and table.
- ``step``: model and optimizer, built as the Runner builds them; one training step; its record.
- ``batches``: batches with the shapes that the pipeline of a config makes from a synthetic image.
- ``fake_gpu``: the modes under which a step runs, and stand-ins for the parts of torch that need a driver. ``dispatch``
  checks every operation: devices, dtypes, waits. ``kernels`` has shapes and rules that torch's fake tensors lack.
  ``collectives`` stand for NCCL.
- ``engine``: the backward pass in Python, because torch's engine needs a driver.
- ``memory``: bytes that are alive; ``counters``: kernels, waits, collectives; ``sources``: lines of code.
- ``gpus``: data sheets, memory that a step needs, images per second; ``largest_batch``: the search.

It uses private names of torch. ``tests/dry_run`` compares gradients and peak memory with real runs on the CPU, so that
a change of these names is noticed.
"""
