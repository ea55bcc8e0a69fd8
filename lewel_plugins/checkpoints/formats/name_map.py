import re
from collections.abc import Sequence

_PLACE = re.compile(r'\\\{(\w+)\\\}')


class NameMap:
    """Renames tensors between OpenMMLab and another library.

    Args:
        rules: Pairs of templates, one for the name in OpenMMLab and one for that in the library, with the placeholders
            ``{i}`` (a number) and ``{w}`` (the rest of the name). The first rule that matches counts; a name that
            matches none stays the same.
    """

    def __init__(self, rules: Sequence[tuple[str, str]]) -> None:
        self._forward = [(_pattern(ours), theirs) for ours, theirs in rules]
        self._backward = [(_pattern(theirs), ours) for ours, theirs in rules]

    def forward(self, name: str) -> str:
        """Return the name in the library for a name in OpenMMLab."""
        return _rename(name, self._forward)

    def backward(self, name: str) -> str:
        """Return the name in OpenMMLab for a name in the library."""
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
