"""Loads weights into a model, and reports what does not fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.models.classifiers import classifier_keys, limit_classifier
from kdcore.models.key_names import renamed
from kdcore.models.other_classes import OTHER_CLASSES, OtherClasses
from kdcore.models.position_grids import size_option, unknown_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_CLASSIFIERS: Final = ("head", "head_dist", "fc", "classifier")


def fit_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    num_classes: int,
    keep_classifier: bool,
    where: str,
    known_encoder: bool = False,
) -> tuple[str, ...]:
    """Load weights into a model whole, and return warnings.

    What timm does to checkpoints from elsewhere (renamed keys, position embeddings of another grid) is done here too.
    A plugin's model can have the same: a function `checkpoint_filter_fn(weights, model)` in the module of its class,
    which is called if keys or shapes do not fit. If a tensor is on the meta device, everything is checked and nothing
    is loaded.

    Args:
        model: the model.
        weights: the tensors of the checkpoint by their keys.
        num_classes: K; 0 for an encoder: the weights of a classifier are left out.
        keep_classifier: True: a classifier for another number of classes is an error; False: the model's own then
            stays at its initial values, made smaller where they are large (`limit_classifier`).
        where: the checkpoint's place in the spec.
        known_encoder: the weights are known to have no classifier, so nothing has to be said of a new one.

    Raises:
        UserError: keys are missing, unexpected or of another shape, or the classifier does not fit.
    """
    heads = classifier_keys(model)
    weights = renamed(weights, model.state_dict(), where)
    if num_classes == 0:
        weights = without_classifier(model, weights)
    if _mismatch(model, weights, skip=heads).any:
        weights = _filtered(model, weights, where)
    warnings: tuple[str, ...] = ()
    if heads and not keep_classifier and _lacks_only(weights, heads, model):
        limit_classifier(model)
        weights = {**weights, **{name: model.state_dict()[name] for name in heads}}  # an encoder's weights
        if not known_encoder:
            warnings = (f"{where}: the weights have no classifier: it starts from its initial values",)
    known = _known_classes(model, weights, heads)
    if known is not None and known != num_classes:
        if keep_classifier:
            message = f"the checkpoint knows {known} classes, the data has {num_classes}"
            raise OtherClasses(Problem(where, message, hint=OTHER_CLASSES), known)
        for name in heads:
            weights.pop(name, None)
        limit_classifier(model)
        warnings = (
            f"{where}: the checkpoint knows {known} classes, the data has {num_classes}: "
            "the classifier starts from its initial values",
        )
    mismatch = _mismatch(model, weights, skip=heads if warnings else ())
    if mismatch.any:
        raise UserError(mismatch.problem(where, type(model).__name__))
    _check_numbers(model, weights, where)
    if not any(tensor.is_meta for tensor in (*weights.values(), *model.parameters())):
        _check_finite(model, weights, where)
        model.load_state_dict(weights, strict=not warnings)
    return warnings


def _lacks_only(weights: Mapping[str, Tensor], heads: tuple[str, ...], model: nn.Module) -> bool:
    """True if the weights have no classifier and nothing that may be one by another name."""
    return not any(name in weights for name in heads) and weights.keys() <= model.state_dict().keys()


def without_classifier(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without those of a classifier that the model, an encoder, does not have.

    The names of classifiers are those in timm's configuration of the model; without one, `head`, `fc`, `classifier`.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    named = config.get("classifier") or _CLASSIFIERS
    names = (named,) if isinstance(named, str) else tuple(named)
    own = model.state_dict()
    return {
        key: value
        for key, value in weights.items()
        if key in own or not any(key.startswith(f"{name}.") for name in names)
    }


def _check_numbers(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Raises UserError where copying would change what the numbers mean: parts lost, codes taken for values."""
    own = model.state_dict()
    for name, value in weights.items():
        wanted = own.get(name)
        if wanted is None or value.dtype == wanted.dtype:
            continue
        kind = str(value.dtype).removeprefix("torch.")
        if value.is_complex() and not wanted.is_complex():
            message = f"the weight {name} is complex ({kind}), the model's is real: its imaginary part would be lost"
            hint = "save it real, or name the model that has complex weights"
            raise UserError(Problem(where, message, hint=hint))
        if wanted.is_floating_point() and not (value.is_floating_point() or value.is_complex()):
            message = f"the weight {name} holds whole numbers ({kind}), as a quantised model does"
            raise UserError(Problem(where, message, hint="save the weights before they are quantised"))


def _check_finite(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Raises UserError for weights that are NaN or infinite, or become so in the model's number format."""
    own = model.state_dict()
    bad: dict[str, int] = {}
    for name, value in weights.items():
        wanted = own.get(name)
        if wanted is None or not (wanted.is_floating_point() or wanted.is_complex()):
            continue
        finite = value.to(wanted.dtype).isfinite()
        # a mask of the model's own may hold infinities
        if not bool(finite.all()) and bool(wanted.isfinite().all()):
            bad[name] = int((~finite).sum())
    if bad:
        first, count = next(iter(bad.items()))
        more = f", and in {len(bad) - 1} more" if len(bad) > 1 else ""
        raise UserError(
            Problem(
                where,
                f"the weights are not finite: NaN or infinity in {first} "
                f"({count} of {weights[first].numel()} values){more}",
                hint="take a checkpoint from before its training failed",
            )
        )


class _Mismatch:
    """Keys that a model wants and does not get, gets and does not want, or gets in another shape."""

    def __init__(self, missing: list[str], unexpected: list[str], reshaped: list[str]) -> None:
        self.groups = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
        self.any = bool(missing or unexpected or reshaped)

    def problem(self, where: str, name: str) -> Problem:
        parts = [f"{len(keys)} {what} ({_short(keys)})" for what, keys in self.groups.items() if keys]
        return Problem(
            where,
            f"the weights do not fit {name}: {'; '.join(parts)}",
            hint="they are of another model, or of one built with other options or small_input",
        )


def _mismatch(model: nn.Module, weights: Mapping[str, Tensor], skip: tuple[str, ...]) -> _Mismatch:
    own = model.state_dict()
    # checkpoints of old versions lack the counters of batch norm, which nothing reads
    missing = [k for k in own if k not in weights and k not in skip and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in weights if k not in own and k not in skip]
    reshaped = [
        f"{k} {list(weights[k].shape)} instead of {list(own[k].shape)}"
        for k in own
        if k in weights and k not in skip and weights[k].shape != own[k].shape
    ]
    return _Mismatch(missing, unexpected, reshaped)


def _short(keys: list[str], most: int = 3) -> str:
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")


def _filtered(model: nn.Module, weights: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """What the architecture's own filter makes of the weights: `checkpoint_filter_fn` of the class's module, if any."""
    home = sys.modules.get(type(model).__module__)
    if home is None:
        return weights
    translate: Any = getattr(home, "checkpoint_filter_fn", None)
    if translate is None and home.__name__ == "timm.models.deit":
        translate = vars(sys.modules["timm.models.vision_transformer"])["checkpoint_filter_fn"]
    if translate is None:
        return weights
    try:
        return dict(translate(dict(weights), model))
    except Exception as error:  # it expects the weights of this architecture, and these may be any
        if (patches := unknown_grid(model, weights)) is not None:
            message = f"its position embeddings are for {patches} patches, which is not a square, and cannot be resized"
            hint = f"set {size_option(where.rpartition('.')[0])} to the [height, width] of its training"
            raise UserError(Problem(where, message, hint=hint)) from error
        raise UserError(
            Problem(
                where, f"these are not weights of {type(model).__name__} ({type(error).__name__}: {error})"
            )
        ) from error


def _known_classes(model: nn.Module, weights: Mapping[str, Tensor], heads: tuple[str, ...]) -> int | None:
    """How many classes the weights' classifier has, where that can be seen."""
    own = model.state_dict()
    classes = getattr(model, "num_classes", None)
    for name in heads:
        if name in weights and weights[name].dim() and own[name].dim() and own[name].shape[0] == classes:
            return int(weights[name].shape[0])
    return None
