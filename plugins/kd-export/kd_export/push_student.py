"""`push`: a run's student on the Hugging Face hub, by timm's own push, with a model card of its run."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is documented
from timm.models import push_to_hf_hub, save_for_hf

from kd_export.card import model_card
from kd_export.compat import hub_readme
from kd_export.folder import new_folder
from kd_export.formats.weights import CONFIG, WEIGHTS, student_config
from kd_export.recipe import BuildRecipe, beyond_timm, recipe_of
from kdcore import Problem, RunFailed, UserError
from kdcore.inspect import about_student, open_run_student

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kdcore.inspect import Which

CARD: Final = "README.md"
_FILES: Final = (CARD, CONFIG, WEIGHTS)


@dataclass(frozen=True)
class PushResult:
    """What was pushed, or would be.

    Attributes:
        repository: 'user/name' on the hub.
        url: where it is; None: nothing was pushed.
        path: the folder that would be pushed; None where it was.
        card: the text of the model card.
        warnings: one line each for the user.
    """

    repository: str
    url: str | None
    path: Path | None
    card: str
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.__dict__,
            "path": None if self.path is None else str(self.path),
            "warnings": list(self.warnings),
        }


def push(
    run: str | Path,
    repository: str,
    *,
    weights: Which = "last",
    license: str | None = None,
    private: bool = False,
    message: str | None = None,
    dry_run: bool = False,
    output: str | Path | None = None,
    force: bool = False,
) -> PushResult:
    """Push a run's student to the hub; a missing repository is created, an existing README stays.

    Args:
        run: the run directory.
        repository: 'user/name'.
        weights: the last ones, their average ('ema') or the best epoch's.
        license: what the card says, such as 'apache-2.0'; None: 'unknown'.
        private: of a new repository.
        message: of the commit.
        dry_run: write the folder that would be pushed, and push nothing.
        output: that folder; None: `export/hub` in the run directory.
        force: replace an earlier one.

    Raises:
        UserError: there is no such run, the student is a plugin's model, or name, token or rights are wrong.
        RunFailed: the hub cannot be reached, or refuses.
    """
    _check_name(repository)
    if not dry_run:
        _check_push(output, force)
    student = open_run_student(run, weights)
    recipe = recipe_of(student)
    if not recipe.timm:
        message = f"timm's hub is for timm's models, and this student is {beyond_timm(student, recipe)}"
        hint = f"'kd export {quote(str(run))} --to torch' makes a folder that 'hf upload {repository} FOLDER' pushes"
        raise UserError(Problem("RUN", message, str(run), hint=hint))
    given: dict[str, Any] = {
        "model_config": student_config(student, about_student(student, "hub")),
        "safe_serialization": True,
    }
    card = model_card(student, recipe, repository, license)
    text = hub_readme(card, repository.rpartition("/")[2])
    warnings = _warnings(recipe, student.name, license)
    if dry_run:
        path = Path(output) if output is not None else student.run.path / "export" / "hub"
        with new_folder(path, force=force, written=_dry_run_files) as folder:
            save_for_hf(student.model, str(folder), **given)
            (folder / WEIGHTS).chmod(0o644)
            (folder / CARD).write_text(text, "utf-8")
        return PushResult(repository, None, path, text, warnings)
    with _told(repository):
        commit = push_to_hf_hub(
            student.model,
            repository,
            commit_message=message or f"Add {student.name}, the student of run {student.run.name}",
            private=private,
            model_card=card,
            **given,
        )
    return PushResult(repository, str(commit.repo_url), None, text, warnings)


def _dry_run_files(folder: Path) -> Sequence[str] | None:
    """The files that a dry run wrote into this folder; None: it is another one.

    `student/` of a run is another one too: the checksum in its `config.json` is not pushed.
    """
    try:
        config: Any = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    about = config.get("kdcore") if isinstance(config, dict) else None
    whole = all((folder / name).is_file() for name in _FILES)
    return _FILES if whole and isinstance(about, dict) and "sha256" not in about else None


def _check_push(output: str | Path | None, force: bool) -> None:
    """Raises UserError for a push with flags of a dry run, or without a token."""
    for flag, given in (("--output", output is not None), ("--force", force)):
        if given:
            message = "this is for the folder of --dry-run, which was not given"
            raise UserError(Problem(flag, message, hint="leave it out, or add --dry-run"))
    if get_token() is None:
        hint = "'hf auth login' stores one, HF_TOKEN says one; --dry-run pushes nothing and needs none"
        raise UserError(Problem("HF_TOKEN", "the hub wants a token to write, and there is none", hint=hint))


def _check_name(repository: str) -> None:
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(Problem("NAME", str(error), repository, allowed="USER/NAME")) from error
    if "/" not in repository:
        raise UserError(Problem("NAME", "the repository name needs an owner", repository, "USER/NAME"))


def _warnings(recipe: BuildRecipe, name: str, license: str | None) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if license is None:
        found += ("the card says 'license: unknown': say one with --license",)
    if recipe.changed:
        found += (
            f"timm has no arguments for the small-input stem of {name}: timm.create_model refuses the repository, "
            "and the card has the lines that build it",
        )
    return found


@contextlib.contextmanager
def _told(repository: str) -> Iterator[None]:
    """Errors of the hub in words.

    Raises:
        UserError: the token is not accepted, or may not write there.
        RunFailed: anything else, no network above all.
    """
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        told = error.server_message or str(error).strip().splitlines()[0]
        if status == 401:
            message = f"the hub does not accept this token: {told}"
            raise UserError(Problem("HF_TOKEN", message, hint="'hf auth login' stores a new one")) from error
        if status == 403:
            message = f"this token may not write there: {told}"
            hint = "it needs the right to write, and the user or organisation has to be yours"
            raise UserError(Problem("NAME", message, repository, hint=hint)) from error
        raise RunFailed(f"the hub refuses: {told} (status {status})") from error
    except OfflineModeIsEnabled as error:
        raise RunFailed("the hub is switched off by HF_HUB_OFFLINE; nothing was pushed") from error
    except Exception as error:
        if not _is_network(error):
            raise
        cause = str(error).strip() or type(error).__name__
        raise RunFailed(
            f"the hub cannot be reached, nothing was pushed: {cause}. --dry-run writes the folder"
        ) from error


def _is_network(error: Exception) -> bool:
    # huggingface_hub has changed its HTTP library twice: do not rely on its name
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(
        names & {"NetworkError", "TransportError", "TimeoutException", "RequestException"}
    )
