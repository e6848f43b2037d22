"""What the shared tests try of the family; see maps.py."""

from __future__ import annotations

from kd_feature import cc_loss, pkt_loss, rkd_angle_loss, rkd_distance_loss, sp_loss

DISTILLERS = {
    "sp": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 3000, "stages": (4,)},
        "wrong": [],
    },
    "rkd": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 1, "distance_weight": 25, "angle_weight": 50},
        "wrong": [{"distance_weight": -1}, {"angle_weight": -1}],
    },
    "pkt": {"kind": "relation", "whole_batch": True, "defaults": {"weight": 30000}, "wrong": []},
    "cc": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 0.02, "dim": 128},
        "wrong": [{"dim": 0}],
    },
}
_RELATION = {"samples", "rotation", "agree", "positive"}
LOSSES = {
    "rkd_distance": (rkd_distance_loss, _RELATION | {"shift", "size"}),
    "rkd_angle": (rkd_angle_loss, _RELATION | {"shift", "size"}),
    "sp": (sp_loss, _RELATION | {"size"}),
    "pkt": (pkt_loss, _RELATION - {"positive"}),
    # it sees neighbours in the batch: the order of the samples matters
    "cc": (lambda s, t: cc_loss(s.flatten(1), t.flatten(1)), {"element", "agree", "positive"}),
}
