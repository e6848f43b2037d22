"""What a file is, from its first bytes: so that a message says what lies there instead of a checkpoint."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

Reader = Literal["torch", "safetensors"]

_EXPORT: Final = (
    "save the weights of the PyTorch model it was made from: torch.save(model.state_dict(), FILE)"
)
_DOWNLOAD: Final = "download the file again, and look at what the address gives"
_HEAD = 4096


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        reader: what reads it, or None.
        name: what it is, if kd cannot read it: 'an ONNX model'.
        hint: what to do then.
    """

    reader: Reader | None
    name: str = ""
    hint: str = ""


def kind_of(path: Path) -> FileKind:
    """The kind of a file by what is in it; its name decides only where the bytes do not.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return FileKind(None, "an empty file", _DOWNLOAD)
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return FileKind("safetensors")
    return _by_first_bytes(head) or _by_name(path) or FileKind("torch")


def _of_zip(path: Path) -> FileKind:
    if not zipfile.is_zipfile(path):
        return FileKind(None, "a file that is cut off: its end is missing", "copy or download it again")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    ends = {name.partition("/")[2] for name in names} | set(names)
    if "constants.pkl" in ends:
        hint = "torch.jit.load(FILE).state_dict() has its weights: save these"
        return FileKind(None, "a TorchScript program (torch.jit.save)", hint)
    if "archive_format" in ends or any("serialized_exported_program" in name for name in names):
        return FileKind(None, "an exported program (torch.export, .pt2)", _EXPORT)
    if "data.pkl" in ends:
        return FileKind("torch")
    if "model.weights.h5" in names:
        return FileKind(None, "a Keras model", _EXPORT)
    if names and all(name.endswith(".npy") for name in names):
        return FileKind(None, "a NumPy archive (.npz): NumPy checkpoints are not read", _EXPORT)
    if any(name.endswith(("coremldata.bin", ".mlmodel")) for name in names):
        return FileKind(None, "a Core ML model", _EXPORT)
    return FileKind(None, "a zip archive of something else", "unpack it, and name the file with the weights")


_FIRST_BYTES: Final = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it", _EXPORT),
    (b"\x93NUMPY", "a NumPy array (.npy): NumPy checkpoints are not read", _EXPORT),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file that it stands for",
        "'git lfs pull' gets it",
    ),
    (
        b"/annex/objects",
        "a git-annex pointer, not the file that it stands for",
        "'git annex get FILE' gets it",
    ),
    (b"GGUF", "a GGUF model", _EXPORT),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and name the file with the weights"),
    (b"BZh", "a bzip2 archive", "unpack it, and name the file with the weights"),
    (b"\xfd7zXZ", "an xz archive", "unpack it, and name the file with the weights"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it, and name the file with the weights"),
    (b"Rar!", "a RAR archive", "unpack it, and name the file with the weights"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"%PDF", "a PDF document", ""),
)


def _by_first_bytes(head: bytes) -> FileKind | None:
    for start, name, hint in _FIRST_BYTES:
        if head.startswith(start):
            return FileKind(None, name, hint)
    if head[4:8] == b"TFL3":
        return FileKind(None, "a TensorFlow Lite model", _EXPORT)
    if head[257:262] == b"ustar" and not head.startswith(b"\x80"):
        # torch.save of before 2018 wrote tars; nothing reads them without unpickling
        return FileKind(None, "a tar archive", "unpack it, and name the file with the weights")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if text.startswith((b"<!doctype", b"<html")):
        return FileKind(None, "a web page (HTML), not a model", _DOWNLOAD)
    if text.startswith(b"<?xml"):
        return FileKind(None, "an XML document", _DOWNLOAD)
    if text.startswith((b"{", b"[")) and _is_text(head):
        return FileKind(None, "JSON text, not weights", _DOWNLOAD)
    if _is_text(head):
        return FileKind(None, "text, not weights", _DOWNLOAD)
    return None


def _is_text(head: bytes) -> bool:
    """Whether only printed characters are in it; a pickle of protocol 0 is none: it ends with a full stop."""
    if any(byte < 32 and byte not in b"\t\r\n" for byte in head):
        return False
    try:
        head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not head.rstrip(b"\n").endswith(b".") or b"\n" not in head.strip()


def _by_name(path: Path) -> FileKind | None:
    """Formats without a mark of their own."""
    named = {
        ".onnx": "an ONNX model",
        ".pb": "a TensorFlow graph",
        ".tflite": "a TensorFlow Lite model",
        ".h5": "a Keras model",
        ".npz": "a NumPy archive: NumPy checkpoints are not read",
        ".npy": "a NumPy array: NumPy checkpoints are not read",
        ".pte": "an ExecuTorch program",
        ".engine": "a TensorRT engine",
    }
    name = named.get(path.suffix.lower())
    if name is not None:
        return FileKind(None, name, _EXPORT)
    if path.suffix.lower() == ".safetensors":
        return FileKind("safetensors")
    return None


def looks_like_onnx(path: Path) -> bool:
    """Whether the bytes begin as those of an ONNX model do: a protocol buffer's IR version, then one of its fields."""
    with path.open("rb") as file:
        head = file.read(3)
    # field 1 as a varint below 32; then the producer's name or version, domain, model version, graph, opset or metadata
    return (
        len(head) == 3
        and head[0] == 0x08
        and head[1] < 32
        and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)
    )
