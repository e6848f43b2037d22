"""The distribution of each first-party name, to say which one to install. Keep it complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kdcore.plugins.records import Role

_NAMES: Final[dict[Role, dict[str, tuple[str, ...]]]] = {
    "distiller": {
        "kd-classic": ("kd", "dkd", "nkd", "dist"),
        "kd-feature": ("fitnet", "crd", "rkd", "at", "sp", "pkt", "nst", "cc", "vid"),
        "kd-ofa": ("ofa",),
    },
    "adapter": {
        "kd-feature": ("convnext", "mixer", "mobilenetv2", "resnet", "swin", "vit"),
    },
    "dataset": {},
    "model": {},
}

KNOWN: Final[dict[Role, dict[str, str]]] = {
    role: {name: distribution for distribution, names in table.items() for name in names}
    for role, table in _NAMES.items()
}
