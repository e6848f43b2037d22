"""A student from a loop with accelerate: on one device, or on several with `accelerate launch`.

python examples/loops/accelerate_loop.py runs/digits-teacher runs/from-accelerate
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from loop_parts import Digits, distillation, image_size, spec
from torch.utils.data import DataLoader

from kdcore import Progress, save_run


def train(
    teacher_run: str | Path,
    directory: str | Path,
    *,
    epochs: int = 2,
    batch: int = 32,
    samples: int | None = None,
) -> float:
    """Train, save the run directory, and return the student's top-1 in percent."""
    accelerator = Accelerator()
    size = image_size(teacher_run)
    images, test_images = Digits("train", size, samples), Digits("test", size)
    model: Any = distillation(teacher_run, "dkd", len(images), warmup_epochs=1)
    optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loader: Any = DataLoader(images, batch, shuffle=True, drop_last=True)
    test: Any = DataLoader(test_images, 250)
    model, optimizer, loader, test = accelerator.prepare(model, optimizer, loader, test)

    records = []
    for epoch in range(epochs):
        model.train()
        losses = []
        for number, one in enumerate(loader):
            progress = Progress(
                epoch=epoch + number / len(loader),
                step=epoch * len(loader) + number,
                total_steps=epochs * len(loader),
                total_epochs=epochs,
            )
            output = model(one["images"], one["labels"], index=one["index"], progress=progress)
            optimizer.zero_grad()
            accelerator.backward(output.loss)
            optimizer.step()
            losses.append(output.loss.detach())
        top1 = evaluate(accelerator, model, test)
        records.append(
            {"epoch": epoch + 1, "loss": torch.stack(losses).mean().item(), "eval": {"top1": top1}}
        )

    if accelerator.is_main_process:
        student = accelerator.unwrap_model(model)
        save_run(directory, student, spec(teacher_run), metrics={"top1": top1}, records=records)
    accelerator.wait_for_everyone()
    return top1


@torch.no_grad()
def evaluate(accelerator: Accelerator, model: Any, loader: Any) -> float:
    """Top-1 in percent of the student alone: the teacher does not run."""
    model.eval()
    student = accelerator.unwrap_model(model).student
    hits = []
    for one in loader:
        found = student(one["images"]).argmax(dim=1) == one["labels"]
        hits.append(accelerator.gather_for_metrics(found))
    return 100 * torch.cat(hits).float().mean().item()


if __name__ == "__main__":
    print(f"top-1 {train(*sys.argv[1:3]):.2f} %")
