"""`data.options` of a table of images. Imports no torch."""

from __future__ import annotations

from pydantic import Field, field_validator

from kdcore.options import Options


class TableOptions(Options):
    """How a table of images is read; null: found in the table."""

    path: str | None = Field(
        None, description="The column of the images' files. By default 'path', 'file', 'filename' or 'image'."
    )
    label: str | None = Field(None, description="The column of the classes. By default 'label' or 'class'.")
    split: str | None = Field(None, description="The column of the splits. By default 'split'.")
    group: str | None = Field(
        None,
        description="A column for data.eval_fraction, such as the patient: images with the same value there are all "
        "held out, or none of them is.",
    )
    weight: str | None = Field(
        None, description="The column of the weights for data.sampling 'weights'. By default 'weight'."
    )
    classes: tuple[str, ...] | None = Field(
        None,
        min_length=2,
        description="The classes in their order. By default sorted: numbers by value, names as text.",
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Of a CSV file. By default the one of , ; tab | that the first line has most of.",
    )
    encoding: str | None = Field(
        None,
        description="Of a CSV or JSONL file, such as 'cp1252'. By default UTF-8, or UTF-16 with its mark.",
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except (LookupError, ValueError) as error:
                raise ValueError(
                    "Python knows no encoding of this name; such as utf-8, utf-16, cp1252, gb18030"
                ) from error
        return value

    @field_validator("classes")
    @classmethod
    def _different(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a class is named twice")
        return value
