"""`data.options` of a table of images. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from kdcore.options import Options


class TableOptions(Options):
    """How a table of images is read; null: found in the table."""

    path: str | None = Field(
        None, description="The column of the images' files. By default 'path', 'file', 'filename' or 'image'."
    )
    label: str | None = Field(None, description="The column of the classes. By default 'label' or 'class'.")
    labels: tuple[str, ...] | Literal["*"] | None = Field(
        None,
        description="For several labels an image: the columns of the labels, with 1 or 0 in them; '*': all columns "
        "that have no other meaning.",
    )
    label_delimiter: str | None = Field(
        None,
        min_length=1,
        description="For several labels in a cell of the column of the classes: what is between them, such as '|'. "
        "Lists in JSON lines and Parquet need none.",
    )
    empty: Literal["none", "unlabelled"] | None = Field(
        None,
        description="For several labels an image: what an empty cell says; 'none': the image has none of the labels, "
        "or not the one of this column; 'unlabelled': they are, or it is, not known.",
    )
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

    @field_validator("classes", "labels")
    @classmethod
    def _different(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise ValueError("a name is there twice")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> TableOptions:
        if self.labels is not None:
            other = next((name for name in ("label", "label_delimiter") if getattr(self, name)), None)
            if other is not None:
                raise ValueError(
                    f"'labels' is for a column for each label, and '{other}' for labels in one column"
                )
            if len(self.labels) == 1 and self.labels != "*":
                raise ValueError("'labels' names one column; for one class an image, name it in 'label'")
        return self
