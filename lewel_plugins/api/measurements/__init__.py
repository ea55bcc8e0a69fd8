"""What a training needs, measured before it starts: memory, seconds per step, input, room on the disk.

A measurement runs in a process of its own, which is ended at its deadline with all that it has started, so that one
that fails leaves nothing behind: no memory on the GPU, no worker, no file.

- ``apart``: start and end the process; ``worker``: its program.
- ``step``: real steps of the training; ``timed_steps``: how the process takes them.
- ``memory``: steps on fake tensors, for a GPU. ``input``: the loader alone; ``timed_loader``: how the process reads.
- ``room``: disk, shared memory and main memory beside what is free.
"""
