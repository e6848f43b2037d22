"""`kd schema`: the JSON Schema of a run spec, for editors."""

from __future__ import annotations

from kdcore.cli.output import print_json


def schema() -> None:
    """Print the JSON Schema of a run spec.

    It has the options of every installed distiller, so that an editor completes them.
    """
    from kdcore.commands.lists import schema as spec_schema

    print_json(spec_schema())
