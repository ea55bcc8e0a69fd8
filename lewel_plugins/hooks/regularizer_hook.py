from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from lewel_plugins.dist import unwrap_model
from lewel_plugins.models.necks import MultiProjectorNeck
from lewel_plugins.models.necks.parallel_mlps import ParallelMLPs, SeparateMLPs
from lewel_plugins.registry import HOOKS, MODELS

_PROJECTORS = MultiProjectorNeck, ParallelMLPs, SeparateMLPs


@HOOKS.register_module()
class RegularizerHook(Hook):
    """Add losses on an online embedding to any method, without changing the method. MSBReg, Sec. 4 and Table 8.

    Forward hooks of torch read the outputs of a module, and add losses to those that the model returns. All outputs of
    an iteration that have a gradient form the embeddings (K, N, d), where N is the number of images in the batch. An
    output may be (N, d) for one view, (KN, d) for views one after another, or (M, N, d) for M projectors, which count
    as views. If it is a sequence, its first element counts.

    Name the predictor if the method has one, otherwise the neck: ``head.predictor`` for mmpretrain's BYOL, ``head.q``
    for LEWELB. The head of MSBReg has the two losses already. The loss of a method that sums over two directions, such
    as BYOL, is twice MSBReg's mean over views; double the weights there to keep the ratio.

    Args:
        module: Dotted name of the module, as in the model's ``named_modules``.
        regularizers: Configs of losses, e.g. ``dict(type='lewel_plugins.SingularValueLoss', weight=4e-3)``. They map
            (K, N, d) to () and have a ``name``; their losses are logged as ``loss_<name>``.

    Raises:
        ValueError: There is no regularizer, or two have the same name. In training: the model has no such module, does
            not call it, or has a loss of that name, or an output has another shape.
    """

    def __init__(self, module: str, regularizers: Sequence[dict]) -> None:
        if not regularizers:
            raise ValueError('regularizers must name at least one loss, got none')
        self.module = module
        self.regularizers = [MODELS.build(regularizer) for regularizer in regularizers]
        names = [regularizer.name for regularizer in self.regularizers]
        if len(set(names)) < len(names):
            raise ValueError(f'regularizers must have different names, got {names}')
        self._captured: list[Tensor] = []
        self._handles: list = []
        self._of_projectors = False

    def before_train(self, runner) -> None:
        """Attach to the runner's model."""
        self.attach(unwrap_model(runner.model))

    def after_train(self, runner) -> None:
        """Detach from the model."""
        self.detach()

    def attach(self, model: nn.Module) -> None:
        """Add the losses to those of ``model`` until :meth:`detach`."""
        names = [name for name, _ in model.named_modules()]
        if self.module not in names[1:]:
            children = ', '.join(name for name in names[1:] if name.count('.') < 2)
            raise ValueError(f'{type(model).__name__} has no module {self.module!r} to regularize; it has {children}')
        self.detach()
        module = model.get_submodule(self.module)
        self._of_projectors = isinstance(module, _PROJECTORS)
        self._handles = [
            module.register_forward_hook(self._capture),
            model.register_forward_hook(self._add_losses, with_kwargs=True),
        ]

    def detach(self) -> None:
        """Remove the hooks from the model."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._captured = [], []

    def _capture(self, module: nn.Module, inputs: tuple, output: Tensor | Sequence[Tensor]) -> None:
        p = output if isinstance(output, Tensor) else output[0]
        if p.requires_grad:
            self._captured.append(p)

    def _add_losses(self, model: nn.Module, args: tuple, kwargs: dict, output: object) -> dict | None:
        captured, self._captured = self._captured, []
        if not isinstance(output, dict) or not torch.is_grad_enabled():
            return None
        if not captured:
            raise ValueError(f'{type(model).__name__}.{self.module} was not called: there is nothing to regularize')
        inputs = kwargs['inputs'] if 'inputs' in kwargs else args[0]
        p = self._embeddings(captured, len(inputs if isinstance(inputs, Tensor) else inputs[0]))
        added = {f'loss_{regularizer.name}': regularizer(p) for regularizer in self.regularizers}
        duplicates = sorted(added.keys() & output.keys())
        if duplicates:
            raise ValueError(
                f'{type(model).__name__} has {", ".join(duplicates)} already: leave it out of the regularizers'
            )
        return {**output, **added}

    def _embeddings(self, captured: list[Tensor], N: int) -> Tensor:
        for p in captured:
            fits = p.shape[0] % N == 0 if p.dim() == 2 else p.dim() == 3 and p.shape[1] == N
            # (N, N, d) may be embeddings of N maps of each image, as in LEWEL, instead of N projectors.
            fits &= self._of_projectors or p.dim() == 2 or p.shape[0] != N
            if not fits or p.shape[-1] != captured[0].shape[-1]:
                shapes = ', '.join(str(tuple(p.shape)) for p in captured)
                raise ValueError(f'{self.module} must return (N, d), (KN, d) or (M, N, d) with N = {N}, got {shapes}')
        return torch.cat([p.reshape(-1, N, p.shape[-1]) for p in captured])  # (K, N, d)
