from __future__ import annotations

import io
import multiprocessing
import pickle
import tarfile
from typing import TYPE_CHECKING

import pytest

from kdcore.data.folder import open_folder
from kdcore.data.tar import TarSource, open_tar
from kdcore.errors import RunFailed, UserError

if TYPE_CHECKING:
    from pathlib import Path


def opened(path: Path, split: str) -> TarSource:
    return open_tar(path, split, where="data.train_split", dataset_where="data.dataset")


def pack(root: Path, path: Path, front: str = "", mode: str = "w", **options) -> Path:
    with tarfile.open(path, mode, **options) as archive:
        archive.add(root, arcname=front or ".")
    return path


def png(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("front", ["", "archive", "train"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_same_as_the_folder(image_folder, tmp_path, front, mode, split):
    if front == "train":
        image_folder = image_folder / "train"
        if split == "test":
            return
    tar = opened(pack(image_folder, tmp_path / "a.tar", front, mode), split)
    folder = open_folder(image_folder, "" if front == "train" else split, where="")
    assert tar.classes == folder.classes
    assert tar.num_classes == 3
    assert tar.labelled
    assert tar.labels.tolist() == folder.labels.tolist()
    assert len(tar) == len(folder)
    for index in range(len(folder)):
        (ours, label), (theirs, other) = tar[index], folder[index]
        assert ours.tobytes() == theirs.tobytes()
        assert label == other


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path, make_picture, format):
    name = "train/" + "/".join(["klasse-ä"] + ["x" * 60] * 2) + "/1.png"
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=format) as archive:
        add(archive, name, png(make_picture(1)))
    source = opened(path, "train")
    assert source.classes == ("klasse-ä",)
    assert source[0][0].tobytes() == make_picture(1).tobytes()


def test_no_split_and_unlabelled(tmp_path, make_picture, image_folder):
    assert opened(pack(image_folder / "train", tmp_path / "a.tar", "front"), "").classes == (
        "ant",
        "bee",
        "cat",
    )
    for front in ("", "photos/"):
        path = tmp_path / "flat.tar"
        with tarfile.open(path, "w") as archive:
            for number in (2, 1):
                add(archive, f"{front}{number}.png", png(make_picture(number)))
        source = opened(path, "")
        assert not source.labelled
        assert source.classes is source.num_classes is None
        assert source[0][0].tobytes() == make_picture(1).tobytes()
        assert source[0][1] == -1
        path.unlink()


def test_only_plain_files_inside_the_archive_count(tmp_path, make_picture):
    path = tmp_path / "a.tar"
    secret = tmp_path / "secret.png"
    make_picture(99).save(secret)
    good, bad = png(make_picture(1)), png(make_picture(2))
    with tarfile.open(path, "w") as archive:
        add(archive, "./train/cat/good.png", bad)
        add(archive, "./train/cat/good.png", good)  # the later one counts
        add(archive, str(secret), bad)
        add(archive, "/train/cat/absolute.png", bad)
        add(archive, "train/cat/../../../up.png", bad)
        add(archive, "train/cat/._good.png", bad)
        add(archive, "__MACOSX/train/cat/good.png", bad)
        add(archive, "train/cat/link.png", type=tarfile.SYMTYPE, linkname=str(secret))
        add(archive, "train/cat/hard.png", type=tarfile.LNKTYPE, linkname="train/cat/good.png")
        add(archive, "train/cat/device.png", type=tarfile.CHRTYPE)
        add(archive, "train/cat/folder.png", type=tarfile.DIRTYPE)
        add(archive, "train/cat/notes.txt", b"text")
    source = opened(path, "train")
    assert [source.name(index).partition(":")[2] for index in range(len(source))] == ["train/cat/good.png"]
    assert source[0][0].tobytes() == make_picture(1).tobytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tar", "secret.png"]


def test_errors_of_the_user(tmp_path, image_folder):
    path = pack(image_folder, tmp_path / "a.tar")
    with pytest.raises(UserError, match=r'(?s)data\.train_split: .*\(got "fold1"\).*allowed: train, val'):
        opened(path, "fold1")
    with pytest.raises(UserError, match="contains splits"):
        opened(path, "")
    (tmp_path / "text.tar").write_text("no tar at all" * 100)
    with pytest.raises(UserError, match=r"data\.dataset: the tar cannot be read"):
        opened(tmp_path / "text.tar", "train")
    with tarfile.open(tmp_path / "none.tar", "w") as archive:
        add(archive, "train/cat/notes.txt", b"text")
    with pytest.raises(UserError, match=r"data\.dataset: the tar has no images"):
        opened(tmp_path / "none.tar", "train")


@pytest.mark.parametrize("rest", [0.5, 0.7, 0.9])
def test_cut_off_archives(tmp_path, make_picture, rest):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            add(archive, f"train/cat/{number}.png", png(make_picture(number, (60, 60))))
    data = path.read_bytes()
    end = data.rindex(b"IEND") + 8
    path.write_bytes(data[: int(end * rest)])
    with pytest.raises(
        UserError, match=r"data\.dataset: the tar cannot be read: it is truncated: it ends within tr"
    ):
        opened(path, "train")


def three(tmp_path, make_picture) -> tuple[Path, list[int]]:
    """A tar of three images, and where each member begins."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(3):
            add(archive, f"train/cat/{number}.png", png(make_picture(number, (60, 60))))
    with tarfile.open(path) as archive:
        return path, [member.offset for member in archive]


@pytest.mark.parametrize(
    ("cut", "told"), [(0, "it is truncated: it ends after train/cat/1"), (100, "truncated")]
)
def test_cut_off_between_two_members(tmp_path, make_picture, cut, told):
    path, places = three(tmp_path, make_picture)
    path.write_bytes(path.read_bytes()[: places[2] + cut])
    with pytest.raises(UserError, match=f"the tar cannot be read: .*{told}"):
        opened(path, "train")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_wherever_a_tar_is_cut_it_is_called_truncated(tmp_path, make_picture, format):
    path = tmp_path / "a.tar"
    long = "x" * (60 if format == tarfile.USTAR_FORMAT else 150)  # long names have headers of their own
    with tarfile.open(path, "w", format=format) as archive:
        for number in range(2):
            add(archive, f"train/{long}/{number}.png", png(make_picture(number)))
    data = path.read_bytes()
    for size in range(256, len(data.rstrip(b"\0")), 256):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match="the tar cannot be read: it is truncated"):
            opened(path, "train")


def test_a_damaged_header_is_no_end(tmp_path, make_picture):
    path, places = three(tmp_path, make_picture)
    data = bytearray(path.read_bytes())
    data[places[2] + 148 : places[2] + 156] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"it is damaged: the data after train/cat/1\.png is not a member"):
        opened(path, "train")


def test_several_tars_in_one_file(tmp_path, make_picture):
    path, _ = three(tmp_path, make_picture)
    assert opened(path, "train").notes == ()
    path.write_bytes(path.read_bytes() * 2)
    source = opened(path, "train")
    assert len(source) == 3
    assert [line for line in source.notes if "more data after its end" in line]


def test_a_page_in_the_place_of_a_tar(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"<!DOCTYPE html><p>Please log in</p>")
    with pytest.raises(UserError, match="the tar cannot be read: the file is an HTML page"):
        opened(path, "train")


def test_more_members_than_the_limit(tmp_path, make_picture, monkeypatch):
    path, _ = three(tmp_path, make_picture)
    monkeypatch.setattr("kdcore.data.tar.MOST_MEMBERS", 2)
    with pytest.raises(UserError, match="it has more than 2 members; split it"):
        opened(path, "train")


def test_what_is_left_out_is_counted(tmp_path, make_picture):
    path = tmp_path / "a.tar"
    image = png(make_picture(1))
    with tarfile.open(path, "w") as archive:
        add(archive, "photos/train/cat/good.png", image)
        for name in (
            "train/cat/1.heic",
            "train/cat/x/2.heic",
            "train/3.svg",
            "val/cat/4.psd",
            "train/cat/README",
        ):
            add(archive, f"photos/{name}", image)
        add(archive, "photos/train/stray.png", image)
        add(archive, "photos/train/cat/.ipynb_checkpoints/good-checkpoint.png", image)
        add(archive, "photos/train/cat/._good.png", image)
        add(archive, "photos/train/cat/Thumbs.db", image)
        add(archive, "__MACOSX/photos/train/cat/._good.png", image)
        add(archive, "photos/train/cat/link.png", type=tarfile.SYMTYPE, linkname="good.png")
        add(archive, "photos/val/cat/good.png", image)
    source = opened(path, "train")
    assert len(source) == 1
    (note,) = source.notes
    assert note.startswith(
        f"{path}:photos/train: left out: "
        "4 files with unsupported endings (2 .heic, 1 .svg, 1 without ending), "
        "1 image next to the class folders (stray.png), 1 hidden folder (cat/.ipynb_checkpoints), "
        "1 entry that is not a file (cat/link.png); supported endings: .apng, .avif"
    )
    assert "1 .psd" in opened(path, "val").notes[0]


def test_only_unread_endings(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(3):
            add(archive, f"train/cat/{number}.heic", b"")
    with pytest.raises(
        UserError, match=r"(?s)the tar has no images.*It has 3 \.heic, which are not supported"
    ):
        opened(tmp_path / "a.tar", "train")


def test_errors_while_reading(tmp_path, make_picture):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "train/cat/0.png", png(make_picture(0)))
        add(archive, "train/cat/1.png", b"no image")
        add(archive, "train/cat/2.png", png(make_picture(2)))
    source = opened(path, "train")
    with pytest.raises(
        RunFailed, match=r"image 1 cannot be read: .*a\.tar:train/cat/1\.png: the file is text"
    ):
        source[1]
    path.write_bytes(path.read_bytes()[: 5 * 512 + 20])
    with pytest.raises(RunFailed, match=r"image 2 cannot be read: .*2\.png: .*was truncated during the run"):
        source[2]
    copy = pickle.loads(pickle.dumps(source))
    path.unlink()
    with pytest.raises(RunFailed, match="No such file"):
        copy[0]


def read(source: TarSource, indices: range, answers) -> None:
    answers.put([source[index][0].tobytes() for index in indices])


def test_forked_processes_do_not_disturb_each_other(image_folder, tmp_path):
    source = opened(pack(image_folder, tmp_path / "a.tar"), "train")
    expected = [source[index][0].tobytes() for index in range(12)]  # also opens the file before the fork
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=read, args=(source, range(12), answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=120) for _ in processes] == [expected, expected]
    for process in processes:
        process.join(120)
    assert source[3][0].tobytes() == expected[3]
