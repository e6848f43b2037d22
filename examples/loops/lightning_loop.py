"""A student from Lightning's Trainer.

python examples/loops/lightning_loop.py runs/digits-teacher runs/from-lightning
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from loop_parts import Digits, distillation, image_size, spec
from torch.utils.data import DataLoader

from kdcore import Distillation, Progress, save_run


class DistillationModule(LightningModule):
    """Trains what `Distillation` holds: the student and the heads of the distillers.

    Lightning moves the teacher between devices with it; it is in no checkpoint and no optimizer.
    """

    def __init__(self, distillation: Distillation, lr: float = 0.05) -> None:
        super().__init__()
        self.distillation, self.lr = distillation, lr
        self.records: list[dict[str, Any]] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        """The sum of task loss and loss terms."""
        trainer = self.trainer
        progress = Progress(
            epoch=self.current_epoch + batch_idx / int(trainer.num_training_batches),
            step=self.global_step,
            total_steps=int(trainer.estimated_stepping_batches),
            total_epochs=trainer.max_epochs or 1,
        )
        output = self.distillation(batch["images"], batch["labels"], index=batch["index"], progress=progress)
        terms = {"loss": output.loss, "task_loss": output.task_loss, **output.terms}
        self.log_dict(terms, on_step=False, on_epoch=True, batch_size=len(batch["labels"]))
        return output.loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Top-1 of the student alone: the teacher does not run."""
        hits = self.distillation.student(batch["images"]).argmax(dim=1) == batch["labels"]
        self.log("top1", 100 * hits.float().mean(), batch_size=len(hits), sync_dist=True)

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's record; Lightning evaluates before it calls this."""
        logged = {name: value.item() for name, value in self.trainer.callback_metrics.items()}
        self.records.append(
            {
                "epoch": self.current_epoch + 1,
                "loss": logged["loss"],
                "task_loss": logged["task_loss"],
                "eval": {"top1": logged["top1"]},
            }
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of all parameters of the distillation, so of the heads too."""
        return torch.optim.SGD(self.distillation.parameters(), lr=self.lr, momentum=0.9)


def train(
    teacher_run: str | Path,
    directory: str | Path,
    *,
    epochs: int = 2,
    batch: int = 32,
    samples: int | None = None,
) -> float:
    """Train, save the run directory, and return the student's top-1 in percent."""
    size = image_size(teacher_run)
    images, test_images = Digits("train", size, samples), Digits("test", size)
    distillers = ["kd", {"name": "rkd", "weight": 0.5}]
    module = DistillationModule(distillation(teacher_run, distillers, len(images), task_weight=0.5))
    trainer = Trainer(
        max_epochs=epochs,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loader: Any = DataLoader(images, batch, shuffle=True, drop_last=True)
    trainer.fit(module, loader, DataLoader(test_images, 250))
    top1: float = module.records[-1]["eval"]["top1"]
    if trainer.is_global_zero:
        save_run(
            directory,
            module.distillation,
            spec(teacher_run),
            metrics={"top1": top1},
            records=module.records,
        )
    return top1


if __name__ == "__main__":
    print(f"top-1 {train(*sys.argv[1:3]):.2f} %")
