"""A teacher of other classes than the data's, cut to those that `teacher.classes` names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdcore.features import find_adapter
from kdcore.models.class_rows import TeacherClasses, class_rows, synonyms
from kdcore.models.keep_classes import keep_classes
from kdcore.models.other_classes import OtherClasses

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdcore.models import BuiltModel
    from kdcore.plugins import Plugins
    from kdcore.spec.models import TeacherSpec


@dataclass(frozen=True)
class DataClasses:
    """The classes of the data.

    Attributes:
        count: K.
        names: in their order; None: not known.
    """

    count: int
    names: tuple[str, ...] | None


def with_classes_of_data(
    spec: TeacherSpec,
    build: Callable[[int, bool], BuiltModel],
    data: DataClasses,
    in_chans: int,
    plugins: Plugins,
    where: str,
) -> BuiltModel:
    """Build a teacher; with `classes` in its spec, its logits become those of the data's classes.

    Args:
        spec: the teacher's section.
        build: builds it for a number of classes; with True on the meta device, whatever the run's device is.
        data: the classes of the data.
        in_chans: channels of the images.
        plugins: where adapters are looked up.
        where: the section's place in the spec.

    Raises:
        UserError: it cannot be built, or the classes cannot be mapped.
    """
    if spec.classes is None or not spec.classifier:
        return build(data.count, False)
    known = data.count
    try:  # without its weights this costs little, and it shows how many classes they know
        built = build(known, True)
    except OtherClasses as error:
        if error.known == 0:
            raise
        known = error.known
    built = build(known, False)
    if built.random_weights:  # its own run comes first
        return built if known == data.count else build(data.count, False)
    place = f"{where}.classes"
    rows = class_rows(spec.classes, _known(built, known), data.names, data.count, place)
    adapter = find_adapter(built.model, spec.adapter, plugins, f"{where}.adapter")
    keep_classes(built.model, adapter, rows, known, (in_chans, *built.input.image_size), place)
    return replace(built, class_names=data.names)


def _known(built: BuiltModel, count: int) -> TeacherClasses:
    if built.class_names is not None or built.pretrained_tag is None:
        return TeacherClasses.of(count, built.class_names)
    config: Any = getattr(built.model, "pretrained_cfg", {})
    if config.get("label_names"):
        return TeacherClasses.of(count, config["label_names"])
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(dict(config))
    if subset is None:
        return TeacherClasses(count, None)
    info: Any = ImageNetInfo(subset)
    words = [info.index_to_description(index) for index in range(count)]
    pairs = zip(info.label_names(), words, strict=True)
    return TeacherClasses(count, tuple((synset, word, *synonyms(word)) for synset, word in pairs))
