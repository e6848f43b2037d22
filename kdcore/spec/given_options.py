"""What a spec records of a module that a Python program gave. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kdcore.options import Options


class GivenOptions(Options):
    """Of a module object; `kdcore.run` writes them."""

    role: str = Field(default="student", description="Whose place it takes: 'student', or a teacher's name.")
    type: str = Field(default="", description="Its class.")
    weights: str = Field(default="", description="Digest of the weights that it had.")
