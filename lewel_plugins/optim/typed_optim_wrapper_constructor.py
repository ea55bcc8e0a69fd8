from collections.abc import Iterator
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from lewel_plugins.dist import unwrap_model
from lewel_plugins.registry import OPTIM_WRAPPER_CONSTRUCTORS

_OPTIONS = ('norm_decay_mult', 'bias_decay_mult', 'adapt_norm_and_bias', 'backbone_lr_mult', 'custom_keys')
_KEY_OPTIONS = ('lr_mult', 'decay_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TypedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Group parameters by their type, in as few groups as there are different settings.

    With ``paramwise_cfg``, mmengine's constructor makes one group per parameter, which defeats foreach and fused
    optimizers, and it recognizes biases and norms by parts of their names. This one recognizes the parameters of a norm
    by their module (any with a one-dimensional weight, such as BN, GN or LN), and a bias by its name in its module. It
    leaves out frozen parameters.

    ``paramwise_cfg`` accepts ``norm_decay_mult`` and ``bias_decay_mult`` (factors of the weight decay; default 1),
    ``adapt_norm_and_bias`` (False excludes norms and biases from LARS's adaptation), ``backbone_lr_mult`` (factor of
    the rate of all parameters of ``model.backbone``, for a network that starts from trained weights) and
    ``custom_keys``, a dict from parts of parameter names to ``lr_mult`` and ``decay_mult``. If several keys match, the
    longest counts. Its ``decay_mult`` replaces that of the type. With ``backbone_lr_mult`` the backbone has groups of
    its own, marked by the entry ``backbone``.

    Raises:
        ValueError: An option is unknown, or a custom key matches no parameter.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        options = self.paramwise_cfg
        key_options = [option for key in options.get('custom_keys', {}).values() for option in key]
        unknown = [o for o in options if o not in _OPTIONS] + [o for o in key_options if o not in _KEY_OPTIONS]
        if unknown:
            raise ValueError(
                f'unknown paramwise_cfg options {unknown}; accepted are {_OPTIONS}, and {_KEY_OPTIONS} in custom_keys'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optim wrapper for ``model``."""
        wrapper_cfg, optimizer_cfg = self.optim_wrapper_cfg.copy(), self.optimizer_cfg.copy()
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer_cfg['params'] = self.param_groups(unwrap_model(model))
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer_cfg)))

    def param_groups(self, model: nn.Module) -> list[dict]:
        """Return groups of the parameters of ``model`` that need a gradient, in order of first appearance."""
        groups: dict[tuple, dict] = {}
        used_keys: set[str] = set()
        for name, parameter, kind in _typed_parameters(model):
            settings, key = self._settings(name, kind)
            used_keys.add(key)
            if parameter.requires_grad:
                groups.setdefault(tuple(settings.items()), dict(params=[], **settings))['params'].append(parameter)
        unused = set(self.paramwise_cfg.get('custom_keys', {})) - used_keys
        if unused:
            raise ValueError(f'custom_keys {sorted(unused)} match no parameter of {type(model).__name__}')
        return list(groups.values())

    def _settings(self, name: str, kind: str) -> tuple[dict[str, Any], str]:
        options = self.paramwise_cfg
        custom_keys = options.get('custom_keys', {})
        key = max((k for k in custom_keys if k in name), key=len, default='')
        custom = custom_keys.get(key, {})
        settings: dict[str, Any] = {}
        if self.base_lr is not None:
            settings['lr'] = self.base_lr * custom.get('lr_mult', 1.0)
        if self.base_wd is not None:
            by_type = options.get(f'{kind}_decay_mult', 1.0)
            settings['weight_decay'] = self.base_wd * custom.get('decay_mult', by_type)
        if not options.get('adapt_norm_and_bias', True):
            settings['adapt'] = kind == 'weight'
        if 'backbone_lr_mult' in options:
            settings['backbone'] = name.startswith('backbone.')
            if settings['backbone']:
                settings['lr'] *= options['backbone_lr_mult']
        return settings, key


def _typed_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, str]]:
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        weight = own.get('weight')
        is_norm = weight is not None and weight.dim() == 1
        for name, parameter in own.items():
            if parameter not in seen:
                seen.add(parameter)
                kind = 'norm' if is_norm else 'bias' if 'bias' in name else 'weight'
                yield f'{prefix}.{name}' if prefix else name, parameter, kind
