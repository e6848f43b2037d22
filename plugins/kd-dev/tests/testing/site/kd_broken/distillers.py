"""A good distiller, and for each rule one that breaks it and no other."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_broken.numpy_options import Heavy
from kd_broken.options import GoodOptions, NotJson, Undescribed
from kdcore import Requires, Setup


class Good(nn.Module):
    """The student's logits, through a head, follow the teacher's."""

    requires = Requires()

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.head = nn.Linear(setup.num_classes, setup.num_classes)

    def forward(self, student: Any, teacher: Any, batch: Any, progress: Any) -> dict[str, Tensor]:
        return {"mse": self.options.weight * self.compare(student, teacher, batch, progress)}

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.head(self.options.scale * student.logits), teacher.logits.detach())


class TakesNotJson(Good):
    def __init__(self, options: NotJson, setup: Setup) -> None:
        super().__init__(options, setup)


class TakesUndescribed(Good):
    def __init__(self, options: Undescribed, setup: Setup) -> None:
        super().__init__(options, setup)


class TakesHeavy(Good):
    def __init__(self, options: Heavy, setup: Setup) -> None:
        super().__init__(options, setup)


class Refuses(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        raise ValueError("it works on Tuesdays only")


class ReadsWeights(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.start = setup.student.classifier.weight.sum().item()


class GivesVector(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return (self.head(student.logits) - teacher.logits).square().mean(1)


class IgnoresWeight(Good):
    def forward(self, student: Any, teacher: Any, batch: Any, progress: Any) -> dict[str, Tensor]:
        return {"mse": self.compare(student, teacher, batch, progress)}


class DividesByEpoch(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return super().compare(student, teacher, batch, progress) / torch.tensor(progress.epoch)


class CutsStudent(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.head(student.logits.detach()), teacher.logits.detach())


class IdleHead(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.idle = nn.Linear(2, 2)


class TeachesTeacher(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.head(student.logits), teacher.logits)


class TakesClassifier(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.classifier = None if setup.teacher is None else setup.teacher.classifier


class KeepsTensor(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.constants = [torch.tensor(2.0)]

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return self.constants[0] * super().compare(student, teacher, batch, progress)


class ChangesTarget(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        if batch.target is not None:
            batch.target.zero_()
        return super().compare(student, teacher, batch, progress)


class KeepsGraph(Good):
    """Its moving average is not detached, so each step's graph leads into that of the step before."""

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.register_buffer("average", torch.zeros(setup.num_classes))

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        ours = self.head(student.logits)
        self.average = 0.9 * self.average + 0.1 * ours.mean(0)
        return F.mse_loss(ours - self.average, teacher.logits.detach())


class PreparesAside(Good):
    """What `prepare` computes is in no checkpoint."""

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.register_buffer("centre", torch.zeros(setup.num_classes), persistent=False)

    def prepare(self, outputs: Any) -> None:
        for teacher, _ in outputs:
            self.centre += teacher.logits.mean(0)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.head(student.logits), teacher.logits.detach() - self.centre)


class ReadsTargetIfThere(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        loss = super().compare(student, teacher, batch, progress)
        return loss if batch.target is None else loss + batch.target.float().mean() * loss


class ReadsUnknownAsLast(Good):
    requires = Requires(target=True, unlabelled="given")

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        target = batch.target if batch.target.dim() == 1 else batch.target.argmax(1)
        chosen = torch.eye(student.logits.shape[1], dtype=student.logits.dtype)[target]
        return super().compare(student, teacher, batch, progress) + F.mse_loss(student.logits, chosen)


class TakesMapOut(Good):
    requires = Requires(teacher_stages=(4,))

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        teacher.features.pop(4)
        return super().compare(student, teacher, batch, progress)


class Reseeds(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        torch.manual_seed(0)
        return F.dropout(super().compare(student, teacher, batch, progress), 0.0)


class NoSingle(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        others = torch.tensor(len(student.logits) - 1.0)
        return super().compare(student, teacher, batch, progress) * others / others


class NoPairs(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        others = torch.tensor(student.logits.shape[1] - 2.0)
        return super().compare(student, teacher, batch, progress) * others / others


class HardTargets(Good):
    requires = Requires(target=True)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return super().compare(student, teacher, batch, progress) + F.nll_loss(
            student.logits.log_softmax(1), batch.target
        )


class SecretTarget(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return super().compare(student, teacher, batch, progress) + 0 * batch.target.float().mean()


class ReadsHiddenLabels(Good):
    requires = Requires(target=True, unlabelled="given")

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        truth = F.cross_entropy(self.options.scale * student.logits, batch.target)
        return super().compare(student, teacher, batch, progress) + truth


class SecretIndex(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return super().compare(student, teacher, batch, progress) + 0 * batch.index.float().mean()


class WantsTeacher(Good):
    requires = Requires(teacher=False)

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        if setup.teacher is None:
            raise ValueError("a teacher is needed")

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return self.head(student.logits).square().mean()


class OneViewOfTwo(Good):
    requires = Requires(views=2)


class OneFamily(Good):
    requires = Requires(student_stages=(3,), teacher_stages=(3,))

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        theirs = teacher.features[3].map.mean(1, keepdim=True).detach()
        apart = student.features[3].map.mean(1, keepdim=True) * theirs.new_ones(theirs.shape[1:]) - theirs
        return super().compare(student, teacher, batch, progress) + apart.square().mean()


class LosesDigits(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return (self.head(student.logits) + 1000 - (teacher.logits.detach() + 1000)).square().mean()


class Float32Only(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        del self.head

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(student.logits.float(), teacher.logits.detach().float())


class UsesView(Good):
    requires = Requires(student_stages=(1,))

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        flat = student.features[1].map.view(len(student.logits), -1)
        return super().compare(student, teacher, batch, progress) + flat.square().mean()


class Overflows(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        ours = self.head(student.logits)
        return (
            (teacher.logits.detach().softmax(1) * (ours.exp().sum(1, keepdim=True).log() - ours))
            .sum(1)
            .mean()
        )


class RollsDice(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        with torch.no_grad():
            self.head.weight.mul_(1 + 1e-5 * random.random())


class HoldsItself(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.project = lambda logits: self.head(logits)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.project(student.logits), teacher.logits.detach())


class CountsAside(Good):
    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.steps = 0

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        self.steps += 1
        return super().compare(student, teacher, batch, progress) / self.steps**0.01


class GoesUp(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        loss = super().compare(student, teacher, batch, progress)
        return 2 * loss.detach() - loss


class SecretlyRelates(Good):
    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        ours, theirs = self.head(student.logits), teacher.logits.detach()
        return F.mse_loss(ours - ours.mean(0), theirs - theirs.mean(0))


class Relates(SecretlyRelates):
    """As it should be."""

    requires = Requires(whole_batch=True)


class Draws(Good):
    """Which samples count is drawn in each step."""

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        loss = (self.head(student.logits) - teacher.logits.detach()).square()
        return loss.mean() + F.dropout(loss, 0.3).mean()


class FailsInGroups(SecretlyRelates):
    """It looks at the process group, and does not like it."""

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        if torch.distributed.is_initialized():
            raise LookupError("who are you?")
        return super().compare(student, teacher, batch, progress)


class ThroughTeacher(Good):
    """A good one: the student's map goes through the rest of the teacher."""

    requires = Requires(student_stages=(3,))

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        if setup.teacher is None:
            raise ValueError("it learns from a teacher")
        student, teacher = setup.student.stage(3), setup.teacher.stage(3)
        if student.grid != teacher.grid or teacher.prefix_tokens:
            raise ValueError("the grids differ")
        self.up = nn.Conv2d(student.channels, teacher.channels, 1)
        self.rest = (setup.teacher.tail(3),)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        logits = self.head(self.rest[0](self.up(self.options.scale * student.features[3].map)).logits)
        return F.mse_loss(logits, teacher.logits.detach())


class WithHead(nn.Module):
    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, images: Tensor) -> Any:
        return self.head(self.model(images))


class Ships(Good):
    """A good one: its head belongs to the student."""

    def student(self, model: nn.Module) -> nn.Module:
        return WithHead(model, self.head)


class ShipsTheOriginal(Good):
    def student(self, model: nn.Module) -> nn.Module:
        head = self.head if not hasattr(type(self), "kept") else type(self).kept
        type(self).kept = head  # type: ignore[attr-defined]
        return WithHead(model, head)


class OfClass(Good):
    """A good one: it compares a sample with another one of its class."""

    requires = Requires(teacher=False, partner="class", target=True)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(self.head(self.options.scale * student.logits), student.partner.logits)


class FollowsItself(Good):
    """A good one: the student's logits follow those of its moving average."""

    requires = Requires(teacher=False, student_momentum=0.9)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        mean = student.student_pass(batch.images.flip(-1), ema=True)
        return F.mse_loss(self.head(self.options.scale * student.logits), mean.logits)


class UsesHeadLater(Good):
    """A good one: it has a head for the end of a long run."""

    requires = Requires(whole_batch=True, idle_parameters=True)

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.later = nn.Linear(setup.num_classes, setup.num_classes)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        loss = super().compare(student, teacher, batch, progress)
        return loss if progress.epoch < 1000 else loss + self.later(student.logits).square().mean()


class SecondHead(Good):
    """A good one: the second classifier of a distilled student follows the teacher."""

    requires = Requires(distillation_logits=True)

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        return F.mse_loss(
            self.head(self.options.scale * student.distillation_logits), teacher.logits.detach()
        )


class Remembers(Good):
    """A memory bank: everything that a distiller can ask for, and no rule broken."""

    requires = Requires(
        student_stages=(4,), teacher_embedding=True, sample_index=True, whole_batch=True, target=True
    )

    def __init__(self, options: GoodOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        if setup.teacher is None:
            raise ValueError("it learns from a teacher")
        self.up = nn.Linear(setup.student.stage(4).channels, setup.teacher.embedding_dim)
        self.register_buffer("memory", torch.zeros(setup.train_size, setup.teacher.embedding_dim))

    def compare(self, student: Any, teacher: Any, batch: Any, progress: Any) -> Tensor:
        if batch.target.dim() > 1:
            raise ValueError("it takes class indices only")
        known = 0.5 * self.memory[batch.index] + 0.5 * teacher.embedding.detach()
        self.memory[batch.index] = known.to(self.memory.dtype)
        ours = self.up(student.features[4].map.mean((2, 3)))
        return super().compare(student, teacher, batch, progress) + F.mse_loss(ours, known)
