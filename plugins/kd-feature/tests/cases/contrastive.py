"""What the shared tests try of the family; see maps.py."""

from __future__ import annotations

DISTILLERS = {
    "crd": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 0.8, "dim": 128, "negatives": 16384, "temperature": 0.07, "momentum": 0.5},
        "wrong": [{"dim": 0}, {"negatives": 0}, {"temperature": 0}, {"momentum": 1.1}],
    },
}
