from __future__ import annotations

from kd_report.reports.facts import Facts, data_rows
from kd_report.reports.glance import tiles


def test_the_test_of_the_finished_student_is_at_a_glance(make_run):
    run = make_run("tested")
    facts = Facts.read(run)
    assert not [tile for tile in tiles(facts, None) if tile.label.startswith("Test")]
    run.write_summary(
        run.summary() | {"test": {"split": "Holdout", "size": 1400, "student": {"top1": 68.25}}}
    )
    facts = Facts.read(run)
    (tile,) = [tile for tile in tiles(facts, None) if tile.label.startswith("Test")]
    assert (tile.label, tile.value) == ("Test, top-1", "68.2 %")
    assert tile.sub == "1,400 images of 'Holdout', once, at the end"
    assert ("test", "1,400 images of 'Holdout'") in data_rows(facts)
