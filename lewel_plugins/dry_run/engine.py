"""A backward pass in Python: the nodes of the autograd graph, called one by one in the order of torch's engine.

torch's engine queries the driver for the devices of a graph before it runs a node, so without a GPU it refuses a graph
of CUDA tensors. A node can be called from Python, on fake tensors as well. On the CPU the gradients are equal to those
of torch's engine to the last bit. Hooks on tensors (``Tensor.register_hook``) are not called.
"""

import heapq
from contextlib import suppress
from itertools import count
from typing import Any

import torch
from torch import Tensor

Node = Any  # torch's nodes have no common base class with the attributes that are used here
_CustomNode = torch.autograd.function.BackwardCFunction  # node of a torch.autograd.Function


class GraphRoot:
    """The graph behind a loss, of which this object is the only owner.

    torch's engine releases what a node has saved as soon as the node has run, even if the loss is still referenced. A
    node that is called from Python keeps it until the node is freed. So the caller cuts the loss from its graph:

        root, loss = GraphRoot.cut(loss)
        root.backward(gradient)

    Args:
        node: Node of the loss.
        like: Tensor with the shape, dtype and device of the loss.
    """

    def __init__(self, node: Node, like: Tensor) -> None:
        self._node, self._like = node, like

    @classmethod
    def cut(cls, loss: Tensor) -> tuple['GraphRoot', Tensor]:
        """Return the graph of a loss, and the loss as a leaf that requires a gradient."""
        leaf = loss.detach().requires_grad_()
        return cls(loss.grad_fn, leaf.detach()), leaf

    def backward(self, gradient: Tensor | None = None) -> None:
        """Run the graph, add the gradients to ``grad`` of its leaves, and free the graph.

        Args:
            gradient: Gradient of the loss; 1 by default.
        """
        node, self._node = self._node, None
        pending: list[Node] = [node]
        del node
        _run(pending, torch.ones_like(self._like) if gradient is None else gradient)


def backward(loss: Tensor, gradient: Tensor | None = None, **_: Any) -> None:
    """Do what ``Tensor.backward`` does, for a loss whose graph its caller may keep."""
    GraphRoot(loss.grad_fn, loss.detach()).backward(gradient)


def _run(roots: list[Node], gradient: Tensor) -> None:
    """Run a graph from its only root, which is taken out of the list, so that nobody else owns it."""
    uses = _count_uses(roots[0])
    grads: dict[Node, dict[int, Tensor]] = {roots[0]: {0: gradient}}
    ties = count()
    queue = [(_order(roots[0]), next(ties), roots.pop())]
    del gradient
    # The Python object of a custom function does not own its node: the nodes before it do.
    owners: dict[Node, list[Any]] = {}
    with torch.no_grad():
        while queue:
            node = heapq.heappop(queue)[2]
            kept_alive = owners.pop(node, None)
            uses.pop(node, None)
            outputs = _call(node, grads.pop(node))
            for i, (following, index) in enumerate(node.next_functions):
                output, outputs[i] = outputs[i], None
                if following is None:
                    continue
                if isinstance(following, _CustomNode):
                    owners.setdefault(following, []).append((node, kept_alive))
                _add(grads.setdefault(following, {}), index, _fit(output, following, index))
                output = None
                uses[following] -= 1
                if uses[following] == 0:
                    heapq.heappush(queue, (_order(following), next(ties), following))
            following = None
            del node, outputs, kept_alive


def _count_uses(root: Node) -> dict[Node, int]:
    """Return how many edges lead to each node of a graph."""
    uses: dict[Node, int] = {}
    stack = [root]
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is not None:
                if following not in uses:
                    stack.append(following)
                uses[following] = uses.get(following, 0) + 1
    return uses


def _order(node: Node) -> int:
    """Return a node's place in the queue: leaves first, then the nodes that were made last."""
    return -(1 << 62) if _is_leaf(node) else -node._sequence_nr()


def _is_leaf(node: Node) -> bool:
    return type(node).__name__ == 'AccumulateGrad'


def _call(node: Node, received: dict[int, Tensor]) -> list[Tensor | None]:
    """Return a node's gradients, one per edge, and release what it has saved."""
    if _is_leaf(node):
        if 0 in received:
            _accumulate(node.variable, received.pop(0))
        return []
    gradients = []
    for index, like in enumerate(node._input_metadata):
        gradient = received.pop(index, None)
        if gradient is None and isinstance(node, _CustomNode):  # nodes in C++ take undefined gradients
            gradient = torch.zeros(tuple(like.shape), dtype=like.dtype, device=like.device)
        gradients.append(gradient)
    outputs = node.apply(*gradients) if isinstance(node, _CustomNode) else node(*gradients)
    _release(node)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def _release(node: Node) -> None:
    """Free the tensors that a node has saved, which may be kept alive for the nodes after it."""
    for name in dir(node):
        if name.startswith('_raw_saved_'):
            values = getattr(node, name)
            for saved in values if isinstance(values, (tuple, list)) else [values]:
                with suppress(RuntimeError):  # nothing is saved, or it has been freed
                    saved.register_hooks(_forget, _forget)  # keeps the result of the first instead of the tensor


def _forget(_: object) -> None:
    return None


def _fit(gradient: Tensor | None, node: Node, index: int) -> Tensor | None:
    """Give a gradient the shape and the dtype of the tensor that it belongs to, as torch's engine does."""
    if gradient is None:
        return None
    like = node._input_metadata[index]
    if tuple(gradient.shape) != tuple(like.shape):
        gradient = gradient.sum_to_size(tuple(like.shape))
    return gradient.to(like.dtype)


def _add(slots: dict[int, Tensor], index: int, gradient: Tensor | None) -> None:
    if gradient is not None:
        slots[index] = slots[index] + gradient if index in slots else gradient


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.grad is not None:
        parameter.grad = parameter.grad + gradient
    elif gradient.stride() == parameter.stride():
        parameter.grad = gradient.detach()
    else:  # gradients have the strides of their parameters
        parameter.grad = torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(gradient)
