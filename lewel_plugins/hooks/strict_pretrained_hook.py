from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from lewel_plugins.checkpoints import check_normalization, read_pretrained
from lewel_plugins.errors import SetupError
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class StrictPretrainedHook(Hook):
    """Stops a training that did not get every tensor of the checkpoint that an ``init_cfg`` names.

    mmengine loads ``init_cfg=dict(type='Pretrained', checkpoint=…, prefix='backbone.')`` with warnings only, and a
    detector learns something from random weights as well. Before the first iteration this hook compares all modules
    with such an ``init_cfg`` to their file: every tensor of theirs must be in it and have its values bit for bit, and
    every tensor of the file under the prefix must be in one of them. Modules that share a checkpoint and a prefix
    count as one: of a ResNet-50-C4 the detector's backbone and its shared head. Where the checkpoint tells the means
    and standard deviations of its training's images, they must be the model's; where not, that is logged.

    A run that is resumed, or starts from the whole model's weights (``load_from``), is not checked.

    Args:
        new_layers: Names of layers, within their module, that a pretraining does not have, such as ``norm0``, the
            normalisation that a detector's Swin adds for its first output.
        allow_random: Whether no module may have such an ``init_cfg``: a training from random weights.

    Raises:
        SetupError: At the start of training; it lists the tensors.
    """

    def __init__(self, new_layers: Sequence[str] = (), allow_random: bool = False) -> None:
        if isinstance(new_layers, str):
            raise ValueError(f'new_layers must be a list of names, got the text {new_layers!r}')
        self.new_layers = tuple(new_layers)
        self.allow_random = allow_random

    def before_train(self, runner: Runner) -> None:
        """Compare the model with its checkpoints."""
        if runner.iter or runner._load_from is not None:
            return
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        sources: dict[tuple[str, str | None], list[tuple[str, nn.Module]]] = {}
        for name, module, init in pretrained_modules(model):
            sources.setdefault((init['checkpoint'], init.get('prefix')), []).append((name, module))
        if not sources:
            if not self.allow_random:
                raise SetupError(
                    'no module starts from a checkpoint: name one by model.backbone.init_cfg=dict(type="Pretrained", '
                    'checkpoint=FILE, prefix="backbone."), or allow random weights by allow_random=True of '
                    'StrictPretrainedHook; tools/transfer.py does both'
                )
            runner.logger.warning('No module starts from a checkpoint: this is a training from random weights')
        for (path, prefix), modules in sources.items():
            checkpoint, state = read_pretrained(path, prefix)
            self._check_tensors(path, prefix, state, modules)
            check_normalization(checkpoint, path, model)
            names = ', '.join(name for name, _ in modules)
            runner.logger.info(f'{names}: all {len(state)} tensors of {path} are there, bit for bit')

    def _check_tensors(
        self, path: str, prefix: str | None, state: dict[str, Tensor], modules: list[tuple[str, nn.Module]]
    ) -> None:
        missing, reshaped, changed, used = [], [], [], set()
        for name, module in modules:
            for key, tensor in module.state_dict().items():
                used.add(key)
                if key not in state:
                    if not self._is_new(key):
                        missing.append(f'{name}.{key}')
                elif state[key].shape != tensor.shape:
                    reshaped.append(f'{name}.{key} {tuple(state[key].shape)} for {tuple(tensor.shape)}')
                elif not torch.equal(state[key].to(tensor), tensor):
                    changed.append(f'{name}.{key}')
        # Without a prefix the file is a network's, of which only a part may be wanted.
        unused = [f'{prefix}{key}' for key in state if key not in used] if prefix else []
        problems = {
            'it lacks': missing,
            'it has in another shape': reshaped,
            'it has, but no module takes': unused,
            'it has, but they were not loaded:': changed,
        }
        said = [f'{what} {len(keys)} ({", ".join(keys)})' for what, keys in problems.items() if keys]
        if said:
            raise SetupError(f'{path} does not fit {", ".join(name for name, _ in modules)}: {"; ".join(said)}')

    def _is_new(self, key: str) -> bool:
        # A count that no forward pass uses; files that are older than it do not have it.
        return key.endswith('num_batches_tracked') or key.startswith(tuple(f'{name}.' for name in self.new_layers))


def pretrained_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, Any]]]:
    """Modules that start from a checkpoint: name, module and the ``init_cfg`` that says so."""
    for name, module in model.named_modules():
        inits = getattr(module, 'init_cfg', None) or ()
        for init in [inits] if isinstance(inits, dict) else inits:
            if init['type'] == 'Pretrained':
                yield name, module, init
