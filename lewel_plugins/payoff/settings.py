"""What ``--set`` changes: settings of the experiment itself, and the rest, which goes to pretraining."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from lewel_plugins.errors import SetupError


@dataclass(frozen=True)
class Settings:
    """Settings of the experiment.

    Args:
        method: Method of pretraining.
        backbone: Its network; by the number of images by default.
        epochs: Its length; by the number of images by default.
        batch_size: Its batch.
        image_size: Side of its views, and of the images of all tasks.
        gpus: Number of GPUs for pretraining; all by default.
        workers: Processes that load images.
        transductive: Whether pretraining sees the test images; every number is marked then.
        test_share: Share of the labeled images to test with.
        shots: Labels per class of the small subsets.
        finetune: Whether networks are fine-tuned, which takes the longest.
        finetune_epochs: Epochs of fine-tuning at length 1; by the number of images by default.
    """

    method: str = 'lewel-m'
    backbone: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    image_size: int | None = None
    gpus: int | None = None
    workers: int | None = None
    transductive: bool = False
    test_share: float = 0.3
    shots: tuple[int, ...] = (1, 5, 20)
    finetune: bool = True
    finetune_epochs: int | None = None

    def pretraining(self) -> dict[str, Any]:
        """Return the settings that pretraining takes."""
        names = ('method', 'backbone', 'epochs', 'batch_size', 'image_size', 'workers')
        return {name: getattr(self, name) for name in names}


_KINDS: dict[str, tuple[type, ...]] = {
    'method': (str,),
    'backbone': (str,),
    'transductive': (bool,),
    'finetune': (bool,),
    'test_share': (float,),
    'shots': (tuple,),
}  # whole numbers otherwise
_WORDS = {
    str: 'a name',
    bool: 'True or False',
    float: 'a number',
    tuple: 'numbers such as 1,5,20',
    int: 'a whole number',
}


def parse_settings(overrides: Sequence[str]) -> tuple[Settings, list[str]]:
    """Split the words of ``--set``: those with a dot in the key are settings of the config of pretraining.

    Args:
        overrides: Words ``KEY=VALUE``.

    Raises:
        SetupError: A word is no ``KEY=VALUE``, a key is unknown, or a value is out of range.
    """
    own: dict[str, Any] = {}
    rest = []
    for word in overrides:
        key, separator, text = word.partition('=')
        if not separator or not key:
            raise SetupError(f'--set takes KEY=VALUE, got {word!r}')
        if '.' in key:
            rest.append(word)
        else:
            key = _known(key)
            own[key] = _value(key, text)
    settings = Settings(**own)
    if not 0 < settings.test_share < 1:
        raise SetupError(f'test_share must be between 0 and 1, got {settings.test_share:g}')
    if settings.finetune_epochs is not None and settings.finetune_epochs < 1:
        raise SetupError(f'finetune_epochs must be at least 1, got {settings.finetune_epochs}')
    return settings, rest


def _known(key: str) -> str:
    names = [each.name for each in fields(Settings)]
    if key in names:
        return key
    near = get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(names)}, and keys of the config with a dot'
    raise SetupError(f'--set does not know {key!r}; {hint}')


def _value(key: str, text: str) -> Any:
    kind = _KINDS.get(key, (int,))[0]
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is tuple:
        value = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if all(type(each) is int for each in value):
            return value
    elif type(value) is kind or (kind is float and type(value) is int):
        return value
    raise SetupError(f'{key} takes {_WORDS[kind]}, got {text!r}')
