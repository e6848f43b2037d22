"""`kd compare`: compare methods over several seeds."""

from __future__ import annotations

import shutil
import sys

import typer

from kd_compare.flags import (
    Baseline,
    Budget,
    Distillers,
    Eta,
    Jobs,
    Launcher,
    LauncherOptions,
    Name,
    Only,
    Output,
    Overrides,
    Reports,
    RetryFailed,
    SamplerSeed,
    Search,
    Seeds,
    Specs,
    Tuned,
)
from kd_compare.prepared import say_prepared
from kdcore.plugin import JsonFlag, finite, kept_in, print_json, say, say_all, stdout_for_the_result


def compare(
    specs: Specs,
    distillers: Distillers = None,
    only: Only = None,
    seeds: Seeds = None,
    budget: Budget = None,
    eta: Eta = None,
    baseline: Baseline = None,
    overrides: Overrides = None,
    name: Name = None,
    output: Output = None,
    jobs: Jobs = None,
    launcher: Launcher = "local",
    launcher_options: LauncherOptions = None,
    tuned: Tuned = None,
    search: Search = None,
    sampler_seed: SamplerSeed = None,
    retry_failed: RetryFailed = False,
    reports: Reports = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare distillers, or specs, over several seeds.

    Only missing runs are trained; interrupted runs continue. If a run fails, the others go on.
    """
    from kd_compare.comparison import compare as compare_specs
    from kd_compare.request import parse_seeds

    with stdout_for_the_result():
        result = compare_specs(
            specs,
            distillers=None if distillers is None else [name.strip() for name in distillers.split(",")],
            only=None if only is None else [label.strip() for label in only.split(",")],
            seeds=None if seeds is None else parse_seeds(seeds),
            budget=budget,
            eta=eta,
            baseline=baseline,
            overrides=overrides or (),
            name=name,
            output=output,
            jobs=jobs,
            launcher=launcher,
            launcher_options=launcher_options or (),
            tuned=tuned,
            search=search or (),
            sampler_seed=sampler_seed,
            retry_failed=retry_failed,
            reports=reports,
        )
    if as_json:
        print_json(finite(result.as_dict()))
    elif result.status == "prepared":
        say_prepared(result.commands)
    else:
        from kd_compare.table import for_terminal

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        with kept_in(result.directory):
            say_all(for_terminal(result, width=width).split("\n"))
            say(f"in {result.directory}: comparison.html, table.csv, table.md, table.tex, comparison.json")
    if result.failures():
        raise typer.Exit(1)
