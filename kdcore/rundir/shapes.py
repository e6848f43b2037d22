"""The fields of a run directory's files that kd reads."""

from __future__ import annotations

from typing import Final

from kdcore.json_files import NUMBER, Shape
from kdcore.rundir.summary import MEASURES

_MODEL: Final[Shape] = {
    "model": str,
    "run": str,
    "checkpoint": str,
    "options": dict,
    "adapter": str,
    "pretrained": bool,
    "small_input": bool,
}
SPEC: Final[Shape] = {
    "name": str,
    "seed": int,
    "output": str,
    "data": {
        "dataset": str,
        "root": str,
        "options": dict,
        "train_split": str,
        "eval_split": str,
        "test_split": str,
        "augment": dict,
        "train_samples": int,
        "eval_samples": int,
        "mixup": NUMBER,
        "cutmix": NUMBER,
    },
    "teacher": ({**_MODEL, "name": str}, [{**_MODEL, "name": str}]),
    "student": _MODEL,
    "distiller": (dict, list, str),
    "task": {"weight": NUMBER},
    "train": {"epochs": int, "batch_size": int, "precision": str, "ema": NUMBER},
    "optimizer": {"name": str, "lr": NUMBER, "options": dict},
    "scheduler": {"name": str},
    "teacher_cache": {"augmentations": int},
    "trackers": [dict],
    "report": (bool, int),
}
_SCORES: Final[Shape] = {
    "model": str,
    "parameters": int,
    "run": str,
    "warnings": list,
    **dict.fromkeys((*MEASURES, *(f"best_{name}" for name in MEASURES), "loss"), NUMBER),
    "intervals": {"*": [NUMBER]},
    "best_epoch": int,
}
SUMMARY: Final[Shape] = {
    "status": str,
    "loop": str,
    "error": str,
    "student": _SCORES,
    "ema": _SCORES,
    "teacher": (_SCORES, [{**_SCORES, "name!": str}]),
    "data": {"num_classes": int, "train_size": int, "eval_size": int, "image_size": [int]},
    "test": {"split": str, "size": int, "student": _SCORES, "ema": _SCORES, "teachers": {"*": _SCORES}},
    "epochs": int,
    **dict.fromkeys(("wall_seconds", "images_per_second", "peak_memory_bytes"), NUMBER),
}
RECORD: Final[Shape] = {
    "epoch!": int,
    **dict.fromkeys(("lr", "loss", "task_loss", "images_per_second", "seconds", "wall_seconds"), NUMBER),
    "terms": {"*": NUMBER},
    **{
        name: {**dict.fromkeys(MEASURES, NUMBER), "agreements": {"*": NUMBER}}
        for name in ("train", "eval", "ema")
    },
    "teachers": {"*": {"top1": NUMBER, "top5": NUMBER}},
}
ENVIRONMENT: Final[Shape] = {"packages": dict, "device": dict, "processes": int, "git": (dict, str)}
