from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.models.class_rows import TeacherClasses, class_rows

TEACHER = TeacherClasses.of(4, ("tench, Tinca tinca", "great_white shark", "Cock", "hen"))
DATA = ("Great White-Shark", "hen", "Tinca tinca")


def problems(*arguments):
    with pytest.raises(UserError) as caught:
        class_rows(*arguments, "teacher.classes")
    return caught.value.problems


def test_by_name_compares_as_class_names_are_compared_and_knows_synonyms():
    assert class_rows("by-name", TEACHER, DATA, 3, "teacher.classes") == (1, 3, 0)


def test_the_name_as_written_comes_before_others():
    teacher = TeacherClasses.of(3, ("A", "a", "b, A"))
    assert class_rows("by-name", teacher, ("a", "A", "b"), 3, "teacher.classes") == (1, 0, 2)


def test_a_mapping_takes_names_and_indices():
    wanted = {"x": "cock", "y": 3, "z": 0}
    assert class_rows(wanted, TEACHER, ("z", "x", "y"), 3, "teacher.classes") == (0, 2, 3)
    assert class_rows({"0": 2, "1": "hen"}, TEACHER, None, 2, "teacher.classes") == (2, 3)


def test_names_that_the_teacher_lacks_are_listed_with_both_lists():
    (problem,) = problems("by-name", TEACHER, ("hen", "hem", "dog"), 3)
    assert problem.where == "teacher.classes"
    assert "does not know 2 of the data's 3 classes: hem, dog" in problem.message
    assert "teacher: 0 tench, Tinca tinca, 1 great_white shark, 2 Cock, 3 hen" in problem.message
    assert problem.nearest == "hen"


def test_a_name_of_several_classes_is_not_guessed():
    crane = TeacherClasses.of(2, ("crane", "Crane"))
    (problem,) = problems("by-name", crane, ("CRANE",), 1)
    assert problem.message == "the teacher has 2 classes of this name: 0 crane, 1 Crane"
    (problem,) = problems({"a": "CRANE"}, crane, ("a",), 1)
    assert problem.where == "teacher.classes.a"


@pytest.mark.parametrize(
    ("teacher", "data", "whose"),
    [(TeacherClasses.of(3, None), DATA, "the teacher's"), (TEACHER, None, "the data's")],
)
def test_unknown_names_cannot_be_compared(teacher, data, whose):
    (problem,) = problems("by-name", teacher, data, 3)
    assert f"the names of {whose} classes are not known" in problem.message


def test_each_wrong_part_of_a_mapping_is_a_problem():
    found = problems({"a": 4, "b": "hens", "d": 0}, TEACHER, ("a", "b", "c"), 3)
    assert [(p.where, p.nearest or p.allowed) for p in found] == [
        ("teacher.classes", "a, b, c"),
        ("teacher.classes", None),
        ("teacher.classes.a", "0 to 3"),
        ("teacher.classes.b", "hen"),
    ]
    assert "1 of the data's 3 classes are not mapped: c" in found[1].message
    (problem,) = problems({"a": "hen"}, TeacherClasses.of(4, None), ("a",), 1)
    assert problem.allowed == "an index from 0 to 3"


def test_two_classes_of_the_data_are_not_one_of_the_teacher():
    (problem,) = problems({"a": 3, "b": "hen"}, TEACHER, ("a", "b"), 2)
    assert problem.message == "'a' and 'b' are both class 3 of the teacher"
