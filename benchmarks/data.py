"""The data pipeline alone: from files to normalised batches on the device, compared with torchvision and timm.

The small images are CIFAR-10 JPEGs if `KD_CIFAR10` names a folder of them (`train/CLASS/*.jpg`), otherwise noise of the
same size. The large images are noise too, as smooth as photographs, in the most frequent size of ImageNet.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.device import device
from benchmarks.rounds import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.groups import Cases

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLOOR = "torchvision ImageFolder, DataLoader"
NOTES = {
    "timm create_dataset, create_loader": "crops as for ImageNet also at 32 px: it has no crop of the padded image",
    "kd, first epoch": "decodes, and keeps what it has decoded",
    "kd, later epochs": "from memory",
    "kd, nothing kept": "data.in_memory: false, as for sets that do not fit",
}


def cases() -> Cases:
    """Small and large images, with and without loader processes; and whether these save time during training."""
    made: Cases = {
        f"{size} px, {workers} workers": partial(pipeline, size, workers, images, batch)
        for size, images, batch in ((32, 2048, 64), (224, 256, 32))
        for workers in (0, 2)
    }
    for size, images, batch in ((32, 2048, 64), (224, 64, 16)):
        made[f"{size} px, training"] = partial(training, size, images, batch)
    return made


def pipeline(size: int, workers: int, images: int, batch: int) -> Case:
    """An epoch of `images` images in batches, by each loader."""
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    cifar = os.environ.get("KD_CIFAR10")
    if size == 32 and cifar:
        link_images(Path(cifar) / "train", root, images)
    else:
        make_images(root, images, (32, 32) if size == 32 else (500, 375))
    kept, forgetful = (kd(root, size, workers, batch, in_memory=keep) for keep in (True, False))
    first = kd(root, size, workers, batch, in_memory=True)

    def first_epoch(number: Iterator[int]) -> None:
        first.samples.memory.clear()
        consume(first.epoch(next(number)))

    def epoch(data: Any, number: Iterator[int]) -> None:
        consume(data.epoch(next(number)))

    consume(kept.epoch(0))
    steps: dict[str, Callable[[], None]] = {
        FLOOR: partial(consume, torchvision_loader(root, size, workers, batch)),
        "timm create_dataset, create_loader": partial(consume, timm_loader(root, size, workers, batch)),
        "kd, nothing kept": partial(epoch, forgetful, count()),
        "kd, first epoch": partial(first_epoch, count()),
        "kd, later epochs": partial(epoch, kept, count(1)),
    }
    title = f"{size} px, {workers} workers, batches of {batch}"
    return Case(title, FLOOR, steps, images=images, notes=dict(NOTES), close=folder.cleanup, cpu=workers == 0)


def training(size: int, images: int, batch: int) -> Case:
    """An epoch of training a ResNet-18, by the number of loader processes; the large images are not kept."""
    import timm
    import torch

    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    make_images(root, images, (32, 32) if size == 32 else (500, 375))
    model = timm.create_model("resnet18", num_classes=2).to(device())
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def epoch(data: Any, number: Iterator[int]) -> None:
        for raw in data.epoch(next(number)):
            loss = torch.nn.functional.cross_entropy(model(raw.images), raw.target.to(device()))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

    steps = {
        f"{workers} workers": partial(epoch, kd(root, size, workers, batch, in_memory=size == 32), count())
        for workers in (0, 1, 2)
    }
    title = f"{size} px, training ResNet-18, images {'kept' if size == 32 else 'decoded each time'}"
    return Case(title, "0 workers", steps, images=images, close=folder.cleanup, cpu=False)


def consume(batches: Iterable[Any]) -> None:
    """All of them, on the device."""
    for batch in batches:
        images = batch.images if hasattr(batch, "images") else batch[0]
        images.to(device(), non_blocking=True)


def kd(root: Path, size: int, workers: int, batch: int, *, in_memory: bool) -> Any:
    """Kd's training data of a folder."""
    from kdcore.data.folder import open_folder
    from kdcore.data.inputs import InputConfig
    from kdcore.data.train import build_train_data
    from kdcore.spec.models import DataSpec

    data = DataSpec(dataset=str(root), image_size=size, workers=workers, in_memory=in_memory)
    source = open_folder(root, "train", where="")
    taken = InputConfig((size, size), MEAN, STD)
    assert source.num_classes is not None
    return build_train_data(
        source, data, taken, batch_size=batch, seed=0, num_classes=source.num_classes, device=device()
    )


def torchvision_loader(root: Path, size: int, workers: int, batch: int) -> Iterable[Any]:
    """What most scripts have: the same crop, flip and normalisation as kd's."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    bicubic = transforms.InterpolationMode.BICUBIC
    crop = transforms.RandomResizedCrop(size, interpolation=bicubic)
    if size <= 64:
        crop = transforms.RandomCrop(size, padding=4)
    steps = [crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return DataLoader(
        datasets.ImageFolder(str(root / "train"), transforms.Compose(steps)),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device().type == "cuda",
    )


def timm_loader(root: Path, size: int, workers: int, batch: int) -> Iterable[Any]:
    """Timm's loader as its training script makes it, with kd's default augmentation."""
    from timm.data import create_dataset, create_loader

    return create_loader(  # type: ignore[no-any-return]
        create_dataset("", root=str(root), split="train", is_training=True, batch_size=batch),
        input_size=(3, size, size),
        batch_size=batch,
        is_training=True,
        color_jitter=0.0,
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device().type == "cuda",
        device=device(),
    )


def make_images(root: Path, images: int, size: tuple[int, int]) -> None:
    """JPEGs of (width, height) in two classes, smooth with some grain: about as many bytes as photographs have."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    width, height = size
    for number in range(images):
        coarse = draw.integers(0, 256, (max(2, height // 12), max(2, width // 12), 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = draw.normal(0, 6, (height, width, 1)).astype(np.int16)
        target = root / "train" / "ab"[number % 2] / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(target, quality=90)


def link_images(train: Path, root: Path, images: int) -> None:
    """Equally many of each class of a folder, linked into another one."""
    classes = sorted(entry for entry in train.iterdir() if entry.is_dir())
    for number, one in enumerate(classes):
        share = images * (number + 1) // len(classes) - images * number // len(classes)
        target = root / "train" / one.name
        target.mkdir(parents=True)
        for file in islice(sorted(one.iterdir()), share):
            (target / file.name).symlink_to(file.resolve())
