import pytest

from lewel_plugins.errors import SetupError
from lewel_plugins.running.commands import fill_placeholders

pytestmark = pytest.mark.core


def test_values_fill_placeholders_and_split_nothing():
    words = ['{python}', '--out={out}/x', '{1: {2}}', '{{seed}}']
    filled = fill_placeholders(words, dict(python='py', out='a folder', seed=3))
    assert filled == ['py', '--out=a folder/x', '{1: {2}}', '{3}']


def test_unknown_placeholders_are_named():
    with pytest.raises(SetupError, match=r'^unknown placeholder {jsn}; known are {json}, {seed}$'):
        fill_placeholders(['x', '{jsn}'], dict(json='a', seed=1))
