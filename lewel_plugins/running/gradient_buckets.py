"""Fix the order in which DistributedDataParallel sums gradients, so that a resumed run has the bits of one without."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def fix_buckets(model: nn.Module) -> None:
    """Have DDP order its buckets now instead of after the first iteration of the process.

    DDP collects gradients in buckets, in reverse order of the parameters, and orders them anew by the first backward
    pass. The place of a gradient in a bucket decides in which order the ranks' values are added. With more than two
    ranks the first iteration after a resume would therefore round differently from the same iteration of a run without
    a break. A backward pass of zeros, in reverse order of the parameters, makes the order of the first iteration final.

    Args:
        model: The wrapped model; one that is no DDP, or whose DDP never orders its buckets anew, stays as it is. The
            gradients of its parameters are None afterwards.
    """
    if not isinstance(model, DistributedDataParallel) or model.find_unused_parameters or model.static_graph:
        return
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        zero = parameters[0].new_zeros(())
        for parameter in parameters:  # backward visits the last one first
            zero = zero + 0 * parameter.flatten()[:1].sum().to(zero)
        model.reducer.prepare_for_forward()
        model.reducer.prepare_for_backward([])
        zero.backward()
    for parameter in parameters:
        parameter.grad = None
