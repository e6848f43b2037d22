"""`kd tune`: search for better values of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kd_compare.flags import Launcher, LauncherOptions, Output, Overrides
from kd_compare.prepared import say_prepared
from kdcore.plugin import JsonFlag, finite, kept_in, print_json, say_all, stdout_for_the_result

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The run spec that is tuned.", show_default=False)]
Search = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY.PATH=RANGE|auto|FILE.toml",
        help="What is searched, such as distiller.temperature=1..8, 'optimizer.lr=log(1e-3..1)' or a list A,B,C; may "
        "be repeated.  [default: auto: the numbers among the distillers' options]",
        show_default=False,
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="The number of trials, with those of earlier calls.")]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Train the values of failed trials again; those that failed do not count any more.",
    ),
]
Minutes = Annotated[
    float | None, typer.Option(help="Begin no trial after these minutes.", show_default=False)
]
Seeds = Annotated[
    str, typer.Option(metavar="N|A,B,...", help="The seeds of each trial; its score is their mean.")
]
Sampler = Annotated[str, typer.Option(help="What chooses the values: tpe, random or gp.")]
Pruner = Annotated[
    str,
    typer.Option(help="What stops weak trials after some epochs: none, hyperband, halving or median."),
]
SamplerSeed = Annotated[int, typer.Option(help="With another seed, other values are tried.")]
Together = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Trials that are chosen before any of them has a result.  "
        "[default: --jobs divided by the seeds of a trial, or 1]",
        show_default=False,
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        metavar="MEASURE",
        help="A measure on the evaluation images.  [default: top1, or what methods are ranked by]",
        show_default=False,
    ),
]
Minimize = Annotated[bool, typer.Option("--minimize", help="Less of the measure is better.")]
Constraints = Annotated[
    list[str] | None,
    typer.Option(
        "--constraint",
        metavar="PATH<=NUMBER",
        help="A limit of a number in summary.json, such as student.parameters<=1e6, or of student.latency_ms; may be "
        "repeated.",
        show_default=False,
    ),
]
FinalSeeds = Annotated[
    int, typer.Option(min=0, help="Fresh seeds for the comparison of the best values with the spec's own.")
]
FinalOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--final-set",
        metavar="KEY.PATH=VALUE",
        help="Change a value in the runs of that comparison alone, such as data.eval_split=test; may be repeated.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        help="Name of the tuning's folder.  [default: tune- and the spec's name]", show_default=False
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        metavar="sqlite|journal|URL",
        help="Where the trials are stored: a file in the tuning's folder, or a database.",
    ),
]
Worker = Annotated[
    str | None,
    typer.Option(
        help="The name of this process among several that share a tuning.  [default: the machine's]",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Runs at the same time.  [default: 1, or one for each GPU]", show_default=False),
]


def tune(
    spec: Spec,
    search: Search = None,
    trials: Trials = 20,
    retry_failed: RetryFailed = False,
    minutes: Minutes = None,
    seeds: Seeds = "1",
    sampler: Sampler = "tpe",
    pruner: Pruner = "none",
    sampler_seed: SamplerSeed = 0,
    together: Together = None,
    objective: Objective = None,
    minimize: Minimize = False,
    constraints: Constraints = None,
    final_seeds: FinalSeeds = 3,
    final_overrides: FinalOverrides = None,
    overrides: Overrides = None,
    name: Name = None,
    output: Output = None,
    storage: Storage = "sqlite",
    worker: Worker = None,
    jobs: Jobs = None,
    launcher: Launcher = "local",
    launcher_options: LauncherOptions = None,
    as_json: JsonFlag = False,
) -> None:
    """Search for values of a spec with which its student is better.

    The best values are compared with the spec's own ones over fresh seeds. The same command goes on with a tuning that
    was interrupted, and more --trials extend it.
    """
    from kd_compare.request import parse_seeds
    from kd_compare.tuning.tune import tune as tune_spec

    with stdout_for_the_result():
        result = tune_spec(
            spec,
            search=search or (),
            trials=trials,
            retry_failed=retry_failed,
            minutes=minutes,
            seeds=parse_seeds(seeds),
            sampler=sampler,
            pruner=pruner,
            sampler_seed=sampler_seed,
            together=together,
            objective=objective,
            minimize=minimize,
            constraints=constraints or (),
            final_seeds=final_seeds,
            final_overrides=final_overrides or (),
            overrides=overrides or (),
            name=name,
            output=output,
            storage=storage,
            worker=worker,
            jobs=jobs,
            launcher=launcher,
            launcher_options=launcher_options or (),
        )
    if as_json:
        print_json(finite(result.as_dict()))
    elif result.status == "prepared":
        say_prepared(result.commands)
    else:
        from kd_compare.tuning.summary import lines

        with kept_in(result.directory):
            say_all(lines(result))
    if result.comparison is not None and result.comparison.failures():
        raise typer.Exit(1)
