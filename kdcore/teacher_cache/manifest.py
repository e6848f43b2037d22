"""`manifest.json`: identifies a cache, so that runs find the right one. Does not import torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore.json_files import Shape, read_json
from kdcore.rundir.files import write_json
from kdcore.teacher_cache.rows import Field

if TYPE_CHECKING:
    from pathlib import Path

NAME = "manifest.json"
CHECKSUMS = "rows.crc"
FORMAT = 1
_SHAPE: Final[Shape] = {
    "digest!": str,
    "identity!": {
        "teacher": {"weights": str},
        "data": {"image_size": [int], "split": str},
        "seed": int,
        "precision": str,
    },
    "teacher!": str,
    "dataset!": str,
    "fields!": [{"name!": str, "shape!": [int], "dtype!": str}],
    **{f"{name}!": int for name in ("num_classes", "augmentations", "samples")},
    "top_k": int,
    "created!": str,
    "kdcore!": str,
}


class NoCache(Exception):
    """A folder is not a cache that this version can read; the message says why."""


@dataclass(frozen=True)
class Manifest:
    """The content of a cache's folder.

    Attributes:
        digest: the digest of the identity.
        identity: everything that the outputs depend on.
        teacher: the teacher's architecture.
        dataset: the name of the data in the spec that created the cache.
        fields: the arrays.
        num_classes: K.
        augmentations: the number of augmentations of each sample.
        samples: N, the size of the training set; 0 for a stream, whose rows are not counted before they are written.
        top_k: the number of stored logits, None for all.
        created: the time of creation, in ISO format.
        kdcore: the version that created it.
    """

    digest: str
    identity: dict[str, Any]
    teacher: str
    dataset: str
    fields: tuple[Field, ...]
    num_classes: int
    augmentations: int
    samples: int
    top_k: int | None
    created: str
    kdcore: str

    @property
    def rows(self) -> int:
        """The number of rows: augmentations x samples; 0 for a stream."""
        return self.augmentations * self.samples

    @property
    def grows(self) -> bool:
        """Whether the files grow with the rows that are written."""
        return self.samples == 0

    def serves(self, wanted: Manifest) -> bool:
        """Whether a run that needs the other manifest can use this cache."""
        return (
            self.digest == wanted.digest
            and self.samples == wanted.samples
            and self.augmentations >= wanted.augmentations
            and self.top_k == wanted.top_k
            and set(self.fields) >= set(wanted.fields)
        )

    def write(self, folder: Path) -> None:
        """Write the manifest into a cache's folder."""
        write_json(folder / NAME, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a cache and check that all its files are there.

        Raises:
            NoCache: it is missing, damaged or of another version, or a file is missing or has the wrong size.
        """
        try:
            content = read_json(folder / NAME, _SHAPE)
            version = content.pop("format")
            if version != FORMAT:
                raise NoCache(f"it has format {version}; this version of kdcore reads {FORMAT}")
            parts = [
                Field(part["name"], tuple(part["shape"]), part["dtype"]) for part in content.pop("fields")
            ]
            manifest = cls(fields=tuple(parts), **content)
            sizes = {f"{field.name}.bin": manifest.rows * field.row_bytes for field in manifest.fields}
        except FileNotFoundError as error:
            raise NoCache(f"it does not have a {NAME}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoCache(f"its {NAME} is damaged") from error
        for name, size in {**sizes, CHECKSUMS: 4 * manifest.rows}.items():
            path = folder / name
            if not path.is_file():
                raise NoCache(f"its file {name} is missing")
            if path.stat().st_size != size and not manifest.grows:
                raise NoCache(f"its file {name} has {path.stat().st_size} bytes instead of {size}")
        return manifest
