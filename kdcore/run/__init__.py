"""One run: settle with the run directory, prepare, train, evaluate, end.

The package has the name of the public function that it is for, `kdcore.run(spec)`, and Python makes a package an
attribute of its parent when it is imported. So the package can be called: it calls that function.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdcore.run.result import RunResult


class _CallableModule(ModuleType):
    def __call__(self, *arguments: Any, **keywords: Any) -> RunResult:
        """Run a spec; see `kdcore.run.run.run`."""
        from kdcore.run.run import run

        return run(*arguments, **keywords)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Pickle by name, as a function is: a pool of processes may be given `kdcore.run`."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _CallableModule
