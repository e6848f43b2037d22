from __future__ import annotations

from importlib.metadata import distribution

from kdcore.plugins.find import duplicates, find_candidates


def test_finds_entry_points_sorted_without_importing(site):
    site.plugin("kd-zebra", "raise RuntimeError('imported')")
    site.plugin("kd-ant", "raise RuntimeError('imported')", version="2.5")
    found = site.candidates()
    assert [(item.name, item.distribution, item.version, item.value) for item in found] == [
        ("kd-ant", "kd-ant", "2.5", "kd_ant"),
        ("kd-zebra", "kd-zebra", "1.0", "kd_zebra"),
    ]
    assert found[0].location == str(site.path)


def test_a_distribution_seen_twice_counts_once_and_the_first_on_the_path_wins(site, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, version in ((first, "2.0"), (second, "1.0")):
        folder.mkdir()
        type(site)(folder).metadata("kd-x", "kd_x", version=version)
    assert [item.version for item in find_candidates([str(first), str(second)])] == ["2.0"]
    assert [item.version for item in find_candidates([str(second), str(first)])] == ["1.0"]


def test_a_distribution_without_the_entry_point_hides_a_later_one_that_has_it(site, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    type(site)(second).metadata("kd-x", "kd_x")
    folder = type(site)(first).metadata("kd-x", "kd_x", version="3.0")
    (folder / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    assert find_candidates([str(first), str(second)]) == ()
    assert len(find_candidates([str(second)])) == 1


def test_damaged_metadata_of_others_does_no_harm(site):
    site.metadata("kd-good", "kd_good")
    folder = site.metadata("bad", "bad")
    (folder / "entry_points.txt").write_text("[kdcore]\nno equals sign\n[[[\n")
    (site.metadata("worse", "worse") / "entry_points.txt").write_bytes(b"\xff\xfe[kdcore]\n")
    assert [item.name for item in site.candidates() if item.name == "kd-good"] == ["kd-good"]


def test_a_folder_without_metadata_has_the_name_of_the_folder(site):
    site.metadata("kd-orphan", "kd_orphan", whole=False)
    (found,) = site.candidates()
    assert (found.distribution, found.version) == ("kd_orphan", "unknown")
    assert "kd-orphan" in found.names


def test_installed_distributions_are_searched_by_default(site):
    site.metadata("kd-x", "kd_x")
    assert distribution("kd-x").version == "1.0"
    assert "kd-x" in [item.name for item in find_candidates()]


def test_duplicates_lists_versions_and_folders(site, tmp_path):
    other = type(site)(tmp_path / "other")
    for place, version in ((site, "1.0"), (other, "2.0")):
        place.metadata("kd-x", "kd_x", version=version)
    site.metadata("kd-single", "kd_single")
    found = duplicates(["kd_x", "kd-single"], [str(site.path), str(other.path)])
    assert found == {"kd-x": (f"1.0 in {site.path}", f"2.0 in {other.path}")}


def test_left_over_metadata_in_the_same_folder_hides_nothing(site):
    site.metadata("kd-x", "kd_x", version="1.0")
    (site.metadata("kd-x", "", version="0.9") / "entry_points.txt").unlink()
    (site.metadata("kd-x", "", version="2.0") / "entry_points.txt").unlink()
    assert [item.version for item in site.candidates()] == ["1.0"]
