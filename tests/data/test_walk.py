"""Which files of a folder are samples, and what is said of the others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from kdcore.data.folder import open_folder
from kdcore.data.layout import IMAGES
from kdcore.data.left_out import LeftOut, ending
from kdcore.errors import RunFailed, UserError


@pytest.fixture
def root(image_folder) -> Path:
    for name in ("ant", "bee", "cat"):  # the fixture's other files
        (image_folder / "train" / name / "notes.txt").unlink()
    (image_folder / "train" / ".hidden").rmdir()
    return image_folder / "train"


def opened(root):
    return open_folder(root.parent, "train", where="data.train_split")


def names(source):
    return [source.name(index).rpartition("train/")[2] for index in range(len(source))]


def test_nothing_to_say(root):
    assert opened(root).notes == ()


@pytest.mark.parametrize("place", ["cat", "cat/deep", "."])
@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints", "__MACOSX", ".Trash-1000", "@eaDir", "$RECYCLE.BIN"]
)
def test_hidden_folders_have_no_samples(root, place, hidden):
    folder = root / place / hidden
    folder.mkdir(parents=True)
    shutil.copy(root / "cat" / "0.png", folder / "0-checkpoint.png")
    source = opened(root)
    assert len(source) == 12
    told = os.path.normpath(f"{place}/{hidden}")
    notes = () if hidden == "__MACOSX" else (f"{root}: left out: 1 hidden folder ({told})",)
    assert source.notes == notes


@pytest.mark.parametrize("target", ["cat", "cat/deep", ".", "..", "../..", "/"])
def test_links_that_go_round_in_circles(root, target):
    (root / "cat" / "deep").mkdir()
    shutil.copy(root / "cat" / "0.png", root / "cat" / "deep" / "4.png")
    before = names(opened(root))
    target = target if target == "/" else (root / target).resolve()
    (root / "cat" / "deep" / "loop").symlink_to(target)
    (root / "bee" / "loop").symlink_to("../cat")  # these are samples of another class
    (root / "cat" / "loop").symlink_to("../bee")
    source = opened(root)
    assert names(source) == before
    assert source.notes == (
        f"{root}: left out: 3 links to folders that are already counted (bee/loop, cat/deep/loop, cat/loop)",
    )


def test_a_class_that_is_a_link_to_all_of_it(root):
    (root / "all").symlink_to(root.parent)
    source = opened(root)
    assert source.classes == ("ant", "bee", "cat")
    assert source.notes == (f"{root}: left out: 1 link to a folder that is already counted (all)",)


def test_links_out_of_the_split_are_followed_once(root, tmp_path):
    other = tmp_path / "store"
    (other / "deep").mkdir(parents=True)
    for number in range(3):
        shutil.copy(root / "cat" / f"{number}.png", other / "deep" / f"{number}.png")
    (root / "dog").symlink_to(other)
    (root / "cat" / "more").symlink_to(other)
    (root / "cat" / "more again").symlink_to(other)
    (root / ".store").mkdir()
    shutil.copy(root / "cat" / "0.png", root / ".store" / "7.png")
    (root / "ant" / "kept").symlink_to("../.store")
    source = opened(root)
    assert names(source)[-3:] == [f"dog/deep/{number}.png" for number in range(3)]
    assert names(source).count("cat/more/deep/0.png") == 1
    assert "ant/kept/7.png" in names(source)
    assert len(source) == 12 + 3 + 3 + 1
    assert "1 link to a folder that is already counted (cat/more again)" in source.notes[0]


def test_the_order_is_that_of_image_folder(root):
    for path in ("cat/x-y/a.png", "cat/x/z/b.png", "cat/x/c.png", "cat/Z.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "cat" / "0.png", root / path)
    (root / "cat" / "._0.png").unlink()
    (root / "ant" / "._0.png").unlink()
    (root / "bee" / "._0.png").unlink()
    theirs = ImageFolder(str(root)).samples
    source = opened(root)
    assert [(source.name(index), int(source.labels[index])) for index in range(len(source))] == theirs


def test_endings_that_are_not_read_are_counted(root):
    for number in range(3):
        (root / "ant" / f"{number}.HEIF").write_bytes(b"")
    (root / "bee" / "deep").mkdir()
    for path in ("bee/deep/x.svg", "cat/x.psd", "cat/README", "stray.png", "stray.heic", "cat/Thumbs.db"):
        (root / path).write_bytes(b"")
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "to the pipe.png").symlink_to("pipe.png")
    assert opened(root).notes == (
        f"{root}: left out: 7 files with unsupported endings "
        "(3 .heif, 1 .heic, 1 .psd, 1 .svg, 1 without ending), "
        "1 image next to the class folders (stray.png), "
        "2 entries that are not files (cat/pipe.png, cat/to the pipe.png); "
        f"supported endings: {', '.join(IMAGES)}",
    )


def test_a_class_of_unread_endings_only(root):
    for number in range(4):
        (root / "bee" / f"{number}.png").rename(root / "bee" / f"{number}.heic")
    with pytest.raises(
        UserError, match=r"(?s)without images: bee \(4 \.heic, not supported\).*Convert unsupported files"
    ):
        opened(root)


def test_a_flat_folder_of_unread_endings(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"(?s)neither images nor class folders.*It has 1 \.heic, which are not supported"
    ):
        open_folder(tmp_path, "", where="data.train_split")


def test_long_lists_are_cut():
    left = LeftOut()
    for number in range(11):
        left.add_file(f"cat/x.e{number:02}")
    left.loops = list("edcba")
    (note,) = left.notes("T")
    assert "1 .e07, 3 others)" in note
    assert "5 links to folders that are already counted (a, b, c and 2 more)" in note
    assert [ending(name) for name in ("a.JPG", "a", "a.", "v1.2 of the whole report")] == [
        ".jpg",
        "without ending",
        "without ending",
        "without ending",
    ]


def test_links_to_themselves(root):
    for name in ("ant/deep", "self"):
        (root / name).symlink_to(root / name)
    (root / "ant" / "9.png").symlink_to("9.png")
    source = opened(root)
    assert names(source)[:5] == [f"ant/{number}.png" for number in (0, 1, 2, 3, 9)]
    assert "2 files with unsupported endings (2 without ending)" in source.notes[0]
    with pytest.raises(RunFailed, match=r"image 4 cannot be read: .*ant/9\.png: .*symbolic links"):
        source[4]


def test_of_animations_the_first_frame_is_read_and_a_note_says_so(root):
    frames = [Image.new("P", (8, 8), number) for number in (0, 7)]
    for number in range(2):
        frames[0].save(root / "cat" / f"{number}.GIF", save_all=True, append_images=frames[1:])
    source = opened(root)
    assert source.notes == (f"{root}: the first frame is used of 2 files (2 .gif)",)
    (first,) = [number for number in range(len(source)) if source.name(number).endswith("0.GIF")]
    assert np.asarray(source[first][0]).max() == 0
