import re
from collections.abc import Sequence

_PLACE = re.compile(r'\\\{(\w+)\\\}')


class NameMap:
    """Names of tensors in two libraries, both ways.

    Args:
        rules: Pairs of templates, ours and theirs, with places ``{i}`` (a number) and ``{w}`` (the rest of the name).
            The first rule that fits counts; a name that fits none stays as it is.
    """

    def __init__(self, rules: Sequence[tuple[str, str]]) -> None:
        self._forward = [(_pattern(ours), theirs) for ours, theirs in rules]
        self._backward = [(_pattern(theirs), ours) for ours, theirs in rules]

    def forward(self, name: str) -> str:
        """Their name for ours."""
        return _rename(name, self._forward)

    def backward(self, name: str) -> str:
        """Our name for theirs."""
        return _rename(name, self._backward)


def _pattern(template: str) -> re.Pattern:
    def place(match: re.Match) -> str:
        return rf'(?P<{match[1]}>{".+" if match[1] == "w" else r"[0-9]+"})'

    return re.compile(_PLACE.sub(place, re.escape(template)))


def _rename(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, template in rules:
        match = pattern.fullmatch(name)
        if match:
            return template.format(**match.groupdict())
    return name
