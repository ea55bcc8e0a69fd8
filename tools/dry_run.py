"""Run a training step of configs on a GPU that is not there: memory, errors, waits and work, in seconds on a laptop.

python tools/dry_run.py configs/lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py
python tools/dry_run.py CONFIG --gpus 4 --gpu a100-40gb --largest-batch     # on four GPUs; how large can a batch be?
python tools/dry_run.py configs/smog/*_in1k.py --markdown table.md --json table.json

The step runs at its real batch on tensors without memory (torch's fake tensors), as one of the ranks. Exit code 1: the
step raises an error, a parameter gets no gradient, or the memory is too small.
"""

from lewel_plugins.dry_run.torch_version import check_torch
from lewel_plugins.running.entry_point import run_main


def main() -> int:
    check_torch()
    from lewel_plugins.dry_run import command  # needs that torch

    return command.main(description=__doc__)


if __name__ == '__main__':
    run_main(main)
