"""`manifest.json`: what a cache is, so that it is found again and never taken for another. Needs no torch."""

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
    """A folder is no cache that this version can read; the message says why."""


@dataclass(frozen=True)
class Manifest:
    """What is in a cache's folder.

    Attributes:
        digest: of the identity.
        identity: what the outputs are a function of.
        teacher: its architecture.
        dataset: as the spec that made it names the data.
        fields: the arrays.
        num_classes: K.
        augmentations: of each sample.
        samples: N, the size of the training set.
        top_k: the logits that are kept, None for all.
        created: when, in ISO format.
        kdcore: the version that made it.
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
        """Augmentations x samples."""
        return self.augmentations * self.samples

    def serves(self, wanted: Manifest) -> bool:
        """Whether a run that wants the other one can work with this one."""
        return (
            self.digest == wanted.digest
            and self.samples == wanted.samples
            and self.augmentations >= wanted.augmentations
            and self.top_k == wanted.top_k
            and set(self.fields) >= set(wanted.fields)
        )

    def write(self, folder: Path) -> None:
        """Write it into a cache's folder."""
        write_json(folder / NAME, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a cache, all of whose files are there.

        Raises:
            NoCache: it is missing, damaged or of another version, or a file is missing or of another size.
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
            raise NoCache(f"it has no {NAME}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoCache(f"its {NAME} is damaged") from error
        for name, size in {**sizes, CHECKSUMS: 4 * manifest.rows}.items():
            path = folder / name
            if not path.is_file():
                raise NoCache(f"its file {name} is missing")
            if path.stat().st_size != size:
                raise NoCache(f"its file {name} has {path.stat().st_size} bytes instead of {size}")
        return manifest
