import pytest
from timm.data.auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform

from kdcore.errors import UserError
from kdcore.spec import augment
from kdcore.spec.augment import auto_augment_problem
from kdcore.spec.load import load_dict

RIGHT = [
    "rand", "rand-m9-mstd0.5", "rand-m9-mstd0.5-inc1", "rand-m9-mstd101-inc1-n3-p0.7", "rand-m15-mmax20", "rand-n5-t3a",
    "rand-tweights-n2", "rand-m0", "rand-n14-t3aw", "augmix", "augmix-m5-w4-d2", "augmix-a0.5-b1", "v0", "v0r", "3a",
    "original-mstd0.5", "originalr",
]  # fmt: skip
WRONG = [
    ("rand-n100000000", "whole number from 1 to 15"),
    ("rand-n0", "whole number from 1 to 15"),
    ("augmix-w100000000", "whole number from 1 to 10"),
    ("augmix-d100000000", "whole number from 1 to 10"),
    ("augmix-d-1", "'d' of 'augmix'"),
    ("augmix-a1e9", "alpha"),
    ("rand-m9-mstd0.5-foo", "'foo' is not a part"),  # timm takes no notice of it
    ("rand-m", "'m' of 'rand'"),
    ("rand-", "'' is not a part"),
    ("rand--m9", "'' is not a part"),
    ("rand-m15", "mmax raises that"),  # timm cuts it down to 10
    ("rand-m9-mmax8", "the highest, which is 8"),
    ("rand-m9.5", "whole number from 0 to 30"),
    ("rand-m9-m8", "'m' twice"),
    ("rand-m" + "9" * 5000, "whole number"),
    ("rand-m٣", "whole number"),
    ("rand-p1.5", "number from 0 to 1"),
    ("rand-pnan", "'pnan'"),
    ("rand-inc2", "whole number from 0 to 1"),
    ("rand-mstd-1", "'mstd'"),
    ("rand-tfoo", "tweights"),
    ("rand-n15-t3aw", "14 steps"),
    ("rand-w3", "'w3' is not a part"),
    ("original-m9", "'m9' is not a part"),
    ("augmix-m11", "whole number from 0 to 10"),
    ("nonsense", "no automatic augmentation"),
    ("autoaugment", "no automatic augmentation"),
    ("V0", "no automatic augmentation"),
    ("-", "no automatic augmentation"),
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_right_ones(text):
    assert auto_augment_problem(text) is None
    params = {"translate_const": 10, "img_mean": (0, 0, 0)}
    kind = text.partition("-")[0]
    made = {"rand": rand_augment_transform, "augmix": augment_and_mix_transform}
    assert made.get(kind, auto_augment_transform)(text, params) is not None


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:20] for text, _ in WRONG])
def test_wrong_ones(text, words):
    problem = auto_augment_problem(text)
    assert problem is not None
    assert (problem.where, problem.value) == ("data.augment.auto_augment", text)
    assert words in problem.message
    assert problem.allowed


def test_the_nearest():
    assert auto_augment_problem("rnd-m9-mstd0.5").nearest == "rand-m9-mstd0.5"
    assert auto_augment_problem("orignal").nearest == "original"


def test_the_sets_are_timms():
    from timm.data.auto_augment import _RAND_WEIGHTED_3A

    assert len(_RAND_WEIGHTED_3A) == augment._WEIGHTED


def test_the_check_of_a_spec_tells_it(tmp_path):
    data = {"augment": {"auto_augment": "rand-n100000000"}}
    spec = {"student": {"model": "resnet18"}, "distiller": "vanilla", "data": data}
    with pytest.raises(UserError, match="whole number from 1 to 15") as caught:
        load_dict(spec, base=tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["data.augment.auto_augment"]
