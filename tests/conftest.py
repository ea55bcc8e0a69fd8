"""Put this folder on the path, so that every test can import ``helpers``, and start every file alike."""

from collections import OrderedDict

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True, scope='module')
def no_default_scope():
    """Start each file without a default scope, as if it ran alone.

    Runner and ``init_default_scope`` set it for the rest of the process. After a file that builds a segmenter, names
    without a scope would be looked up in mmseg.
    """
    DefaultScope._instance_dict = OrderedDict()
