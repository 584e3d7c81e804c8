"""What pydicom has to say about a file is kept back, for it quotes header values and paths."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep back what pydicom warns of while it reads, decodes or writes values; also a decorator.

    It says everything twice: as a warning, and to its logger, whose entries reach whatever a program has set up.
    """
    logger = logging.getLogger("pydicom")
    before = logger.propagate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.propagate = False
        try:
            yield
        finally:
            logger.propagate = before
