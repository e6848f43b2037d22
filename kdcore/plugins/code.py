"""A digest of a package's code, which shows whether an installed plugin was edited."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_CODE: Final = frozenset({".py", ".so", ".pyd"})


@lru_cache(maxsize=64)
def code_digest(value: str) -> str | None:
    """SHA-256 of the code of the top-level package that an entry point names; None if no file is found.

    The digest covers the relative path and the content of every code file. The package must already be imported:
    this function imports nothing.

    Args:
        value: the entry point's value, `package.module:object`.
    """
    package = value.partition(":")[0].strip().partition(".")[0]
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders:
        return None if spec.origin is None else _digest([(Path(spec.origin).name, Path(spec.origin))])
    files = [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in _CODE
    ]
    return _digest(files)


def _digest(files: list[tuple[str, Path]]) -> str | None:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # a dangling link, or a module inside an archive
        digest.update(f"{name} {len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()
