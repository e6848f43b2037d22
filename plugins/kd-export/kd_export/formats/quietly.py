"""Other people's exporters without their warnings and logs, and what fails in them in one sentence."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

from kdcore import KdError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def quietly(target: str) -> Iterator[None]:
    """Silence warnings and logs of exporters, and raise RunFailed with one sentence if they fail.

    Raises:
        RunFailed: the exporter failed.
    """
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        except (KdError, OSError):
            raise
        except Exception as error:
            raise RunFailed(f"this student cannot be exported to {target}: {_cause(error)}") from error
        finally:
            logging.disable(disabled)


def _cause(error: BaseException) -> str:
    """The error that began it, in a line: exporters wrap it into advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
