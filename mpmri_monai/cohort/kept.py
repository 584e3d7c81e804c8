"""Work on a cohort, study by study, that goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import mpmri_monai
from mpmri_monai.artefacts import digest, file_digest, read_json, write_json
from mpmri_monai.processes import in_processes

Job = TypeVar("Job")
Result = dict[str, Any]

FAILED = "failed"
"""A result with this key is not kept: the reason may lie outside the study's files, and is looked for again."""


def kept_results(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    keys: Sequence[str],
    folder: Path | None,
    workers: int,
    description: str | None,
) -> Iterator[Result]:
    """Yield ``function(job)`` in the order of ``jobs``; what was computed before under the same key is not again.

    Args:
        function: at the top level of a module; its result can be written as JSON.
        jobs: each can be sent to a process.
        keys: one a job, made of everything that its result depends on.
        folder: where results are kept; None keeps none.
        workers: processes; 0 or 1 works in this one.
        description: shown beside a progress bar; no bar without.
    """
    places = [None if folder is None else folder / f"{key}.json" for key in keys]
    known = [_read(place) for place in places]
    todo = [(function, job, place) for job, place, result in zip(jobs, places, known, strict=True) if result is None]
    fresh = in_processes(_work, todo, workers, description if todo else None)
    for result in known:
        yield next(fresh) if result is None else result
    next(fresh, None)  # ends the bar and the processes


@cache
def code_digest() -> str:
    """Return the sha256 in hex of this package's code and protocols: results of others are not used again."""
    package = Path(mpmri_monai.__file__).parent
    return digest([file_digest(path) for kind in ("*.py", "*.yaml") for path in sorted(package.rglob(kind))])


def _work(task: tuple[Callable[[Job], Result], Job, Path | None]) -> Result:
    function, job, place = task
    result = function(job)
    if place is not None and FAILED not in result:
        write_json(place, result)
    return result


def _read(place: Path | None) -> Result | None:
    """Return a kept result, or None when there is none that can be read."""
    try:
        return None if place is None else read_json(place)
    except (OSError, ValueError):
        return None
