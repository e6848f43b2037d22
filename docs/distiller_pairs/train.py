"""One short run: trained, refused before training, or failed."""

from __future__ import annotations

import math
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final

from distiller_pairs.specs import spec_of
from kdcore import UserError, run, validate

if TYPE_CHECKING:
    from distiller_pairs.specs import Pair
    from kdcore import DistillerEntry

Record = dict[str, Any]
LARGEST: Final = 400_000_000  # parameters of heads: with AdamW's state, they take 16 bytes each


def train(entry: DistillerEntry, pair: Pair) -> Record:
    """The record of one distiller on one pair.

    - `status`: `trained`, `refused` (with an error of the user's input, so before training), `too large` or `failed`
    - `reason`: of all but the first
    - `note`: what is unusual about a run that trained
    - `losses`: the loss of each epoch; `heads`: parameters of the distiller; `seconds`
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        spec = {**spec_of(entry, pair), "output": folder}
        try:
            heads = validate(spec).head_parameters
            if heads > LARGEST:
                reason = f"its heads have {heads:,} parameters, and this table trains at most {LARGEST:,}"
                return {"status": "too large", "reason": reason, "heads": heads}
            done = run(spec, quiet=True)
        except UserError as error:
            return {"status": "refused", "reason": _line(error.problems[0].message)}
        except Exception as error:
            return {"status": "failed", "reason": f"{type(error).__name__}: {_line(str(error))}"}
    losses = [record["loss"] for record in done.metrics]
    terms = done.metrics[-1]["terms"]
    if not all(map(math.isfinite, [*losses, *terms.values()])):
        return {"status": "failed", "reason": f"not finite: {terms}"}
    silent = entry.kind != "baseline" and not any(terms.values())
    return {
        "status": "trained",
        **({"note": "all its terms were 0 in the last epoch"} if silent else {}),
        "losses": [round(loss, 4) for loss in losses],
        "heads": done.summary["distiller"]["parameters"],
        "seconds": round(time.monotonic() - started, 1),
    }


def _line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
