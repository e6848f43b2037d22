"""One message has all mistakes, and none that is only the consequence of another."""


def test_names_are_checked_beside_broken_types(good, problems_of):
    spec = good(
        student={"model": "resnet43", "pretrained": "yes"},
        teacher={"model": "resnet34", "pretrained": True, "checkpoint": "none.pth"},
        distiller=[{"name": "toyy", "alpha": 1}, {"name": "toy", "alpha": "x"}, 7],
        train={"epochs": "ten", "batch_size": 3},
        data={"mixup": 1.0, "dataset": "picture", "augment": {"scale": 3}},
        optimizer={"name": "sgdd", "lr": -1},
        task=3,
    )
    assert set(problems_of(spec)) == {
        "student.pretrained", "student.model", "teacher", "distiller[0].name", "distiller[1].alpha", "distiller[2]",
        "train.epochs", "train.batch_size", "data.dataset", "data.augment.scale", "optimizer.name", "optimizer.lr",
        "task",
    }  # fmt: skip


def test_what_is_missing_is_told_once(problems_of):
    assert set(problems_of({})) == {"student", "distiller"}
    assert set(problems_of({"student": {}, "distiller": {}})) == {"student.model", "distiller.name"}


def test_a_section_of_another_type(good, problems_of):
    assert set(problems_of(good(student=3, teacher="resnet34", data="digits", distiller=None))) == {
        "student", "teacher", "data", "distiller",
    }  # fmt: skip


def test_the_model_of_a_broken_section_is_checked(good, problems_of):
    spec = good(student={"model": "resnet43", "pretrained": True, "checkpoint": "x"})
    assert set(problems_of(spec)) == {"student", "student.model"}


def test_rules_of_broken_values_are_not_told(good, problems_of):
    spec = good(scheduler={"warmup_epochs": 5, "cooldown_epochs": "x"}, train={"epochs": 0})
    assert set(problems_of(spec)) == {"scheduler.cooldown_epochs", "train.epochs"}


def test_problems_come_in_the_order_of_the_file(good, problems_of):
    spec = {"train": {"epochs": 0}, "zzz": 1, "distiller": "toyy", "student": {"model": "resnet43"}}
    assert list(problems_of(spec)) == ["train.epochs", "zzz", "distiller", "student.model"]


def test_text_that_cannot_be_a_value_is_told_beside_the_rest(problems_of):
    text = '{"seed": NaN, "student": {"model": "resnet43"}, "distiller": "toy", "distiller": "toy"}'
    assert set(problems_of(text)) == {"seed", "student.model", "distiller"}
