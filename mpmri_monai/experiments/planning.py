"""The plan of an experiment as it is kept: ``plan.json`` for the engine, ``plan.csv`` and a table for people.

The plan is also what makes an experiment: the same command in the same folder goes on with it, another is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from mpmri_monai.artefacts import read_json, whole_file, write_json
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import PLAN, Context
from mpmri_monai.experiments.estimate import epochs_of
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.progress import in_words
from mpmri_monai.report.wording import plural

SCHEMA = "mpmri-monai/plan/1"
TABLE = "plan.csv"

Plan = dict[str, Any]


def new_plan(name: str, settings: Mapping[str, Any], stages: Sequence[Stage], runs: Sequence[Sequence[Run]]) -> Plan:
    """Return the plan of an experiment, as JSON.

    Args:
        name: of the experiment.
        settings: everything that its results depend on, as JSON-like content.
        stages: of the experiment.
        runs: of each stage; none of one that depends on the results of those before.
    """
    entries = [
        {
            "title": stage.title,
            "count": stage.count,
            "epochs": epochs_of(stage.example),
            "adaptive": stage.adaptive,
            "runs": [_entry(run) for run in planned],
        }
        for stage, planned in zip(stages, runs, strict=True)
    ]
    plan = {"schema": SCHEMA, "experiment": name, "settings": dict(settings), "stages": entries}
    return json.loads(json.dumps(plan, default=str))


def known_plan(plan: Plan, out: Path) -> Plan | None:
    """Return the plan that ``out`` holds, with its estimates and the runs found since; None when it holds none.

    Raises:
        ConfigError: it is another plan, and says what differs; or the file is none of this package.
    """
    path = out / PLAN
    if not path.is_file():
        return None
    before = _read_plan(path)
    changed = _differences(before["settings"], plan["settings"])
    if before["experiment"] != plan["experiment"]:
        changed.insert(0, f"experiment: {before['experiment']} → {plan['experiment']}")
    if not changed and [_outline(stage) for stage in before["stages"]] != [_outline(stage) for stage in plan["stages"]]:
        changed.append("other runs")
    if changed:
        raise ConfigError(
            expected=f"the settings that the experiment in {out} was started with",
            found="; ".join(changed),
            fix="name another --out",
            code="E_PLAN",
        )
    return before


def keep_plan(plan: Plan, context: Context) -> None:
    """Write ``plan.json`` and ``plan.csv``."""
    write_json(context.out / PLAN, plan)
    with whole_file(context.out / TABLE) as part:
        plan_table(plan).to_csv(part, index=False, lineterminator="\n")


def with_runs(plan: Plan, number: int, runs: Sequence[Run]) -> Plan:
    """Return the plan with the runs of one stage, now that they are known."""
    stages = [dict(stage) for stage in plan["stages"]]
    stages[number]["runs"] = json.loads(json.dumps([_entry(run) for run in runs], default=str))
    return {**plan, "stages": stages}


def plan_table(plan: Plan) -> pd.DataFrame:
    """Return one row a run: stage, run, cell, bundle, estimated_s and settings; one row for runs not known yet."""
    rows = []
    for stage in plan["stages"]:
        common = {"stage": stage["title"], "estimated_s": stage["seconds"]}
        for run in stage["runs"]:
            settings = "; ".join(f"{key} = {value}" for key, value in run["options"].items())
            rows.append(
                {**common, "run": run["name"], "cell": run["cell"], "bundle": Path(run["bundle"]).name}
                | {"settings": settings}
            )
        if not stage["runs"]:
            rows.append({**common, "run": f"{stage['count']} runs, chosen by the results before"})
    return pd.DataFrame(rows, columns=["stage", "run", "cell", "bundle", "estimated_s", "settings"])


def total_seconds(plan: Plan) -> float:
    """Return the estimated seconds of all runs, one after the other; NaN where a stage has no estimate."""
    return float(sum(stage["count"] * _number(stage["seconds"]) for stage in plan["stages"]))


def shown_plan(plan: Plan, workers: int) -> Table:
    """Return the plan by stage as a table for the terminal."""
    runs = sum(stage["count"] for stage in plan["stages"])
    whole = total_seconds(plan) / workers
    title = f"{plan['experiment']}: {plural(runs, 'training')} with {workers} worker{'s' if workers > 1 else ''}, " + (
        "time unknown (the short runs for the estimate failed)"
        if math.isnan(whole)
        else f"about {in_words(whole)} (an estimate from a few short runs)"
    )
    table = Table("stage", "runs", "cells", "epochs", "a run", "one after the other", title=title)
    for stage in plan["stages"]:
        seconds = _number(stage["seconds"])
        cells = str(len({run["cell"] for run in stage["runs"]})) if stage["runs"] else "later"
        each = "unknown" if math.isnan(seconds) else f"{seconds:.1f} s"
        total = "unknown" if math.isnan(seconds) else in_words(seconds * stage["count"])
        table.add_row(stage["title"], str(stage["count"]), cells, str(stage["epochs"]), each, total)
    return table


def _read_plan(path: Path) -> Plan:
    try:
        found = read_json(path)
        schema = found["schema"]
    except (ValueError, TypeError, KeyError):
        schema = None
    if schema != SCHEMA:
        raise ConfigError(
            expected=f"a plan of {SCHEMA}",
            found="a file that is damaged, or of something else",
            where=str(path),
            fix="name another --out",
            code="E_PLAN",
        )
    return found


def _entry(run: Run) -> dict[str, Any]:
    return {"name": run.name, "cell": run.cell, "bundle": run.bundle.name, "options": dict(run.options)}


def _outline(stage: Mapping[str, Any]) -> list[Any]:
    """Return what of a stage must stay the same; runs that are found later may differ from none.

    Where a bundle lies may change, and is not written any more; its training configuration is among the settings.
    """
    runs = [{**run, "bundle": Path(run["bundle"]).name} for run in stage["runs"]]
    return [stage["title"], stage["count"], stage["epochs"], [] if stage["adaptive"] else runs]


def _differences(started: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return what settings were and what they are; of options and the like each by itself."""
    changed = []
    for key in sorted(asked.keys() | started.keys()):
        was, now = started.get(key), asked.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            changed += [f"{key} {text}" for text in _differences(was, now)]
        elif was != now:
            changed.append(f"{key}: {_short(was)} → {_short(now)}")
    return changed


def _number(seconds: float | None) -> float:
    return float("nan") if seconds is None else float(seconds)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
