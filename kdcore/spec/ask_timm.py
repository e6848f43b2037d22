"""What timm says about its own names. `python -m kdcore.spec.ask_timm` writes it to `timm_names.json`.

Importing timm takes seconds, so that `kdcore.spec.installed` reads the file, and asks timm only if another version
is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("timm_names.json")


def ask() -> dict[str, Any]:
    """The version of timm, and its models, old names of models and optimizers."""
    import timm
    from timm.models import get_deprecated_models
    from timm.optim import list_optimizers

    return {
        "timm": timm.__version__,
        "models": {name: _model(name) for name in sorted(timm.list_models())},
        "deprecated": {old: new for old, new in sorted(get_deprecated_models().items()) if new is not None},
        "optimizers": {name: _optimizer(name) for name in sorted(map(str, list_optimizers()))},
    }


def _model(name: str) -> dict[str, Any]:
    """The file that defines it, and the tags of its weights: those that exist, and those without weights."""
    from timm.models import get_arch_pretrained_cfgs, model_entrypoint

    configs = {full.partition(".")[2]: config for full, config in get_arch_pretrained_cfgs(name).items()}
    return {
        "file": model_entrypoint(name).__module__.rpartition(".")[2],
        "weights": [tag for tag, config in configs.items() if config.has_weights],
        "untrained": [tag for tag, config in configs.items() if not config.has_weights],
    }


def _optimizer(name: str) -> dict[str, Any]:
    """The package that it needs next to torch, and whether it needs second derivatives."""
    from timm.optim import get_optimizer_info

    info = get_optimizer_info(name)
    package = None
    if isinstance(info.opt_class, str):  # 'package.module.Class': timm imports it when it is used
        package = info.opt_class.partition(".")[0]
    elif info.opt_class.__name__ == "Kron":
        package = "opt_einsum"  # without it the first step asks for 100 GB, and timm only warns
    return {"package": package, "second_order": info.second_order}


def as_text(table: dict[str, Any]) -> str:
    """The table as JSON, with one name on each line."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
            parts.append(f" {json.dumps(key)}: {{\n{lines}\n }}")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(as_text(ask()), encoding="utf-8")
