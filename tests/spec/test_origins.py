from kdcore.spec.value_sources import Origins


def test_a_place_is_told_with_what_gave_it_its_value():
    origins = Origins()
    origins.note("train", "--set train=...")
    origins.note("train.epochs", "from recipe x")
    assert origins.told("train.epochs") == "train.epochs (from recipe x)"
    assert origins.told("train.batch_size") == "train.batch_size (--set train=...)"
    assert origins.told("trains") == "trains"
