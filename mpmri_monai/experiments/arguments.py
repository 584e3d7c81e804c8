"""What is typed after ``mpmri experiment``, made into the context of an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mpmri_monai.artefacts import cache_folder
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.registry import EXPERIMENTS, experiment

PRECISIONS = ("fp32", "bf16")


def context_of(
    bundles: Sequence[Path] | None,
    manifest: Path | None,
    out: Path | None,
    *,
    repeats: int | None = None,
    workers: int = 2,
    scheduler: str | None = None,
    precision: str = "fp32",
    seed: int = 0,
    options: Sequence[str] | None = None,
    task: str | None = None,
    fusion: str | None = None,
) -> Context:
    """Return the context; every run has one thread, so that results do not depend on how many run at a time.

    Raises:
        ConfigError: something is missing, or is not of the form that it should have.
    """
    missing = [name for name, value in (("bundle", bundles), ("manifest", manifest), ("out", out)) if not value]
    if missing or not bundles or manifest is None or out is None:
        raise ConfigError(
            expected="--bundle BUNDLE --manifest MANIFEST --out FOLDER",
            found="no " + ", no ".join(f"--{name}" for name in missing),
            fix="`mpmri experiment list` says what there is to run",
            code="E_OPTION",
        )
    if precision not in PRECISIONS:
        raise ConfigError(expected=f"a precision among {', '.join(PRECISIONS)}", found=precision, code="E_OPTION")
    pairs = [_pair(option) for option in options or ()]
    twice = sorted(key for key, uses in Counter(key for key, _ in pairs).items() if uses > 1)
    if twice:
        raise ConfigError(expected="each --option once", found=f"{', '.join(twice)} again", code="E_OPTION")
    return Context(
        bundles=tuple(bundles),
        manifest=manifest,
        out=out,
        repeats=repeats,
        seed=seed,
        options=dict(pairs),
        asked={key: value for key, value in (("task", task), ("fusion", fusion)) if value is not None},
        common={"threads": 1, "num_workers": 0, "results": "predictions", "precision": precision},
        cache=cache_folder(),
        workers=workers,
        scheduler=scheduler,
    )


def listed() -> str:
    """Return the experiments, a line each."""
    width = max(map(len, EXPERIMENTS))
    return "\n".join(f"{name:{width}}  {experiment(name).help}" for name in EXPERIMENTS)


def _pair(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise ConfigError(expected="--option KEY=VALUE", found=option, code="E_OPTION")
    return key, value
