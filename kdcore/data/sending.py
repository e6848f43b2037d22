"""Sending datasets to loader processes that are not forked: every tensor by its values.

By default, torch moves the memory of a tensor to a shared place, also in this process. A NumPy view of that tensor, in
kd or in a plugin's dataset, would then show memory that is no longer the tensor's: wrong labels without an error. So
here, tensors are pickled as in plain Python.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any


class ByValue:
    """A dataset that is pickled without torch's shared memory: this process is not changed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), _dumped(self.__dict__))


class _Pickler(ForkingPickler):
    # ForkingPickler, because it alone can send queues, locks and connections of a dataset
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        table = self.dispatch_table
        others = {kind: how for kind, how in table.items() if kind.__module__.partition(".")[0] != "torch"}
        self.dispatch_table = others


def _dumped(state: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(state)
    return file.getvalue()


def _restored(kind: type[ByValue], state: bytes) -> ByValue:
    made = kind.__new__(kind)
    made.__dict__.update(pickle.loads(state))  # noqa: S301  # what the parent process has sent
    return made
