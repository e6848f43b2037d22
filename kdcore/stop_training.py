"""`StopTraining`: what a plugin returns to end the training of a run early."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StopTraining:
    """A plugin's request that a run ends after this epoch, returned by `kd_epoch_ended`.

    The run then ends as after its last epoch: it is finished, and its student is saved.

    Attributes:
        reason: why, in one line; `summary.json` and the user get it with the plugin's name.
    """

    reason: str
