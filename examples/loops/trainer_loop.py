"""A student from the Trainer of transformers.

python examples/loops/trainer_loop.py runs/digits-teacher runs/from-trainer
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from loop_parts import Digits, distillation, image_size, spec
from torch.nn import functional as F
from transformers import EvalPrediction, Trainer, TrainingArguments

from kdcore import Progress, save_run


class DistillationTrainer(Trainer):
    """A Trainer whose model is a `Distillation`.

    `compute_loss` returns the logits in a dict. The Trainer takes a tuple for (loss, predictions, ...) and leaves out
    its first element: of what a `Distillation` returns, `compute_metrics` would get the task loss first, not the
    logits, and the accuracy would be wrong without any error.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """In training the distillation's loss; in evaluation the task loss of the student alone."""
        images, labels = inputs["images"], inputs["labels"]
        if model.training:
            output = model(images, labels, index=inputs["index"], progress=self.progress())
            loss, logits = output.loss, output.logits
        else:  # the teacher does not run
            logits = self.accelerator.unwrap_model(model).student(images)
            loss = F.cross_entropy(logits, labels)
        return (loss, {"logits": logits}) if return_outputs else loss

    def progress(self) -> Progress:
        """How far the training is."""
        return Progress(
            epoch=self.state.epoch or 0.0,
            step=self.state.global_step,
            total_steps=self.state.max_steps,
            total_epochs=int(self.state.num_train_epochs),
        )


def compute_metrics(found: EvalPrediction) -> dict[str, float]:
    """Top-1 in percent: `predictions` are the student's logits `[N, K]`."""
    logits = np.asarray(found.predictions)
    return {"top1": 100 * float((logits.argmax(axis=1) == found.label_ids).mean())}


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
    model = distillation(teacher_run, "dkd", len(images), warmup_epochs=1)
    arguments = TrainingArguments(
        output_dir=f"{directory}-trainer",
        num_train_epochs=epochs,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=250,
        learning_rate=1e-3,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        label_names=["labels"],  # otherwise it looks for them among the arguments of the model's forward
        remove_unused_columns=False,  # likewise
        dataloader_drop_last=False,
    )
    trainer = DistillationTrainer(
        model,
        arguments,
        train_dataset=images,
        eval_dataset=test_images,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    found = [one for one in trainer.state.log_history if "eval_top1" in one]
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    records = [
        {"epoch": round(one["epoch"]), "loss": loss, "eval": {"top1": one["eval_top1"]}}
        for one, loss in zip(found, losses, strict=True)
    ]
    top1: float = found[-1]["eval_top1"]
    if trainer.is_world_process_zero():
        save_run(directory, model, spec(teacher_run), metrics={"top1": top1}, records=records)
    return top1


if __name__ == "__main__":
    print(f"top-1 {train(*sys.argv[1:3]):.2f} %")
