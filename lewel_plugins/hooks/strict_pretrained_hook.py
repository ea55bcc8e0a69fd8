from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.runner import Runner
from torch import Tensor, nn

from lewel_plugins.checkpoints import StateDifference, check_normalization, compare_states, read_pretrained
from lewel_plugins.dist import unwrap_model
from lewel_plugins.errors import SetupError
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class StrictPretrainedHook(Hook):
    """Stop a training that has not received every tensor of the checkpoint that an ``init_cfg`` names.

    If ``init_cfg=dict(type='Pretrained', checkpoint=…, prefix='backbone.')`` does not fit, mmengine only warns, and a
    detector learns something from random weights as well. Before the first iteration, this hook compares each module
    that has such an ``init_cfg`` with its file: the file must hold every tensor of the module with the same values, bit
    for bit, and the module must have every tensor of the file under the prefix. Modules that share a checkpoint and a
    prefix count as one, such as the backbone and the shared head of a ResNet-50-C4 detector. If the checkpoint records
    the means and standard deviations of its training's images, the model must use the same; if it does not record them,
    a warning is logged.

    A run that is resumed, or that starts from the weights of the whole model (``load_from``), is not checked.

    Args:
        new_layers: Names of layers, within their module, that a pretraining does not have, such as ``norm0``, the
            normalization that a detector's Swin adds for its first output.
        allow_random: Whether a training from random weights, in which no module has such an ``init_cfg``, is allowed.

    Raises:
        SetupError: At the start of training. Lists the tensors that differ.
    """

    def __init__(self, new_layers: Sequence[str] = (), allow_random: bool = False) -> None:
        if isinstance(new_layers, str):
            raise ValueError(f'new_layers must be a list of names, got the string {new_layers!r}')
        self.new_layers = tuple(new_layers)
        self.allow_random = allow_random

    def before_train(self, runner: Runner) -> None:
        """Compare the model with its checkpoints."""
        if runner.iter or runner._load_from is not None:
            return
        model = unwrap_model(runner.model)
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
            runner.logger.warning('No module starts from a checkpoint: training from random weights')
        for (path, prefix), modules in sources.items():
            checkpoint, state = read_pretrained(path, prefix)
            names = ', '.join(name for name, _ in modules)
            difference = self._compare(prefix, state, modules)
            if difference:
                raise SetupError(f'{path} does not fit {names}: {difference.describe()}')
            check_normalization(checkpoint, path, model)
            runner.logger.info(f'{names}: all {len(state)} tensors of {path} are there, bit for bit')

    def _compare(
        self, prefix: str | None, state: dict[str, Tensor], modules: list[tuple[str, nn.Module]]
    ) -> StateDifference:
        own: dict[str, Tensor] = {}
        theirs: dict[str, Tensor] = {}
        unused, new = set(state), set()
        for name, module in modules:
            for key, tensor in module.state_dict().items():
                own[f'{name}.{key}'] = tensor
                if key in state:
                    theirs[f'{name}.{key}'] = state[key]
                    unused.discard(key)
                elif self._is_new(key):
                    new.add(f'{name}.{key}')
        if prefix:  # without one, the file holds a whole network, of which the module may be a part
            theirs.update({f'{prefix}{key}': state[key] for key in state if key in unused})
        return compare_states(own, theirs, optional=new.__contains__, values=True)

    def _is_new(self, key: str) -> bool:
        # num_batches_tracked affects no forward pass, and files of old versions of torch lack it.
        return key.endswith('num_batches_tracked') or key.startswith(tuple(f'{name}.' for name in self.new_layers))


def pretrained_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, Any]]]:
    """Yield each module that starts from a checkpoint: its name, the module and its ``init_cfg``.

    The teachers of mmpretrain's methods are left out: they copy the student in the first step, before they are used.
    """
    teachers = [f'{name}.' for name, module in model.named_modules() if isinstance(module, BaseAveragedModel)]
    for name, module in model.named_modules():
        if name.startswith(tuple(teachers)):
            continue
        inits = getattr(module, 'init_cfg', None) or ()
        for init in [inits] if isinstance(inits, dict) else inits:
            if init['type'] == 'Pretrained':
                yield name, module, init
