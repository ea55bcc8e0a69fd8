"""The settings of a plan, each with the reason for its value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .findings import Finding


@dataclass(frozen=True)
class Setting:
    """A value of the plan.

    Args:
        name: What it sets.
        value: The value.
        reason: Why, in a few words.
        warning: What may harm the result; empty if nothing.
        note: What else the user should know before the start; empty if nothing.
    """

    name: str
    value: Any
    reason: str
    warning: str = ''
    note: str = ''


class Settings:
    """Settings by name, in the order in which they follow from each other.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = {setting.name: setting for setting in settings}

    @classmethod
    def from_dict(cls, recorded: Mapping[str, Mapping[str, Any]]) -> 'Settings':
        """Return the settings of a json file, see :meth:`as_dict`."""
        return cls([Setting(name, entry['value'], entry['reason']) for name, entry in recorded.items()])

    def __getitem__(self, name: str) -> Any:
        return self.settings[name].value

    def __iter__(self) -> Iterator[Setting]:
        return iter(self.settings.values())

    @property
    def warnings(self) -> list[str]:
        """What may harm the result."""
        return [setting.warning for setting in self if setting.warning]

    @property
    def findings(self) -> list[Finding]:
        """What the user should know before the start."""
        notes = [Finding('note', setting.name, setting.note) for setting in self if setting.note]
        return [*notes, *(Finding('warning', setting.name, setting.warning) for setting in self if setting.warning)]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return value and reason of each setting, for a json file; GPUs by their name."""
        settings = {setting.name: dict(value=setting.value, reason=setting.reason) for setting in self}
        if 'gpus' in settings:
            settings['gpus']['value'] = [getattr(gpu, 'name', gpu) for gpu in self['gpus']]
        return settings
