"""Logging of the libraries that the package calls."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def without_log(level: int = logging.INFO) -> Iterator[None]:
    """Drop records up to a level, such as those of the stages of a network of timm while it is built."""
    before = logging.root.manager.disable
    logging.disable(max(before, level))
    try:
        yield
    finally:
        logging.disable(before)
