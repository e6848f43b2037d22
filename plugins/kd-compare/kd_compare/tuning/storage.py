"""Where the trials of a tuning are stored, so that it goes on after a kill and several machines may share it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from kd_compare.extras import import_extra
from kdcore import Problem, UserError

if TYPE_CHECKING:
    from pathlib import Path


_ALLOWED: Final = "sqlite, journal, or the URL of a database, such as postgresql://HOST/NAME"


def import_optuna() -> Any:
    """Optuna, which says nothing by itself.

    Raises:
        UserError: it is not installed.
    """
    optuna = import_extra("optuna", "tune", "kd tune")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_storage(text: str, folder: Path) -> Any:
    """The storage that a user named: `sqlite` and `journal` are files in the folder, anything else is a database's URL.

    Raises:
        UserError: it is neither, or the database cannot be opened.
    """
    optuna = import_optuna()
    if text == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "trials.journal"))
        return optuna.storages.JournalStorage(backend)
    url = f"sqlite:///{folder / 'trials.db'}" if text == "sqlite" else text
    if "://" not in url:
        raise UserError(Problem("--storage", "this is not a storage", text, _ALLOWED))
    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.storages.RDBStorage(url, engine_kwargs=waits)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(Problem("--storage", f"it cannot be opened: {first}", text, _ALLOWED)) from error
