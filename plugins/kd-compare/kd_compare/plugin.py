"""What this plugin declares. Imports neither torch nor pydantic."""

from __future__ import annotations

from kdcore import CommandEntry, LauncherEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """`kd compare` and `kd tune`."""
    return [
        CommandEntry(
            name="compare",
            summary="Compare distillers, or specs, over several seeds.",
            target="kd_compare.command:compare",
        ),
        CommandEntry(
            name="tune",
            summary="Search for values of a spec with which its student is better.",
            target="kd_compare.tune_command:tune",
        ),
    ]


@hookimpl
def kd_launchers() -> list[LauncherEntry]:
    """Processes of this machine, queues, and commands for the user."""
    return [
        LauncherEntry(
            name="local",
            summary="Processes of this machine; each gets its part of the threads, and one of several GPUs.",
            target="kd_compare.local:LocalLauncher",
            options="kd_compare.local_options:LocalOptions",
        ),
        LauncherEntry(
            name="slurm",
            summary="Array jobs in a Slurm cluster's queue; a run that is preempted goes on from its checkpoint.",
            target="kd_compare.slurm:SlurmLauncher",
            options="kd_compare.slurm_options:SlurmOptions",
        ),
        LauncherEntry(
            name="ray",
            summary="Tasks of a Ray cluster, or of a Ray that is started on this machine.",
            target="kd_compare.ray_launcher:RayLauncher",
            options="kd_compare.ray_options:RayOptions",
        ),
        LauncherEntry(
            name="commands",
            summary="Starts nothing: prints a command for each run, for any other queue; a later call collects.",
            target="kd_compare.commands:CommandsLauncher",
        ),
    ]
