"""Folders that several machines share: what one of them has written, another may see later."""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def look_again(folder: Path) -> None:
    """Make NFS ask its server which files a folder has: it remembers for up to a minute that one was not there.

    To change a folder, also to the mode that it has, ends what the machine remembers of it.
    """
    with contextlib.suppress(OSError):  # it is gone, or another user's
        folder.chmod(stat.S_IMODE(folder.stat().st_mode))
