"""Time-signal intensity curves: how the signal of each class changes over the contrast phases.

After Jia et al. (KSII TIIS 13(10), 2019), figure 4. There the curves are plain means; here every lesion is first
divided by the plain-phase (S0) signal of the liver of the same study, because coil gain differs between patients by
more than the classes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mpmri_monai.report.style import BACKGROUND, SMALL, class_style, message, new_figure, quiet
from mpmri_monai.sequences import DCE

PHASES = {
    "S0": "plain",
    "S1": "early\narterial",
    "S2": "late\narterial",
    "S3": "portal",
    "S4": "equi-\nlibrium",
    "S5": "delayed",
}
LIVER, OWN = "plain-phase signal of the liver", "own plain-phase signal"


@dataclass(frozen=True)
class Curves:
    """Curves of a cohort: what was divided by, how many lesions were left out, and mean ± SE per group and phase."""

    scale: str
    left_out: int
    points: pd.DataFrame
    """Columns ``group, phase, mean, se, n``; ``se`` is NaN for a single lesion; group ``liver`` is the background."""


def tsic_curves(table: pd.DataFrame, labels: Sequence[str], classes: Sequence[str]) -> Curves | None:
    """Average the lesion signals of a samples table over slices, then over lesions.

    Args:
        table: rows of a samples store with ``patient, study, lesion, kind`` and ``signal_S0`` … ``signal_S5``.
        labels: the class name of each row; rows that are neither of these classes nor background are not used.
        classes: class names in order.

    Returns:
        The curves, or None when no contrast phase was measured. The unit is the lesion; of the background, the study.
    """
    phases = [phase for phase in DCE if f"signal_{phase}" in table]
    columns = [f"signal_{phase}" for phase in phases]
    if "S0" not in phases:
        return None
    rows = table.assign(
        group=np.where(table["kind"] == "background", "liver", pd.Series(list(labels), index=table.index))
    )
    liver = rows[rows["group"] == "liver"].groupby("study")[columns].mean()
    lesions = rows[rows["group"].isin(classes) & (rows["kind"] == "lesion")]
    lesions = lesions.groupby(["group", "study", "lesion"])[columns].mean()
    if liver["signal_S0"].notna().any():
        scale, divisor = LIVER, lesions.index.get_level_values("study").map(liver["signal_S0"])
    else:
        scale, divisor, liver = OWN, lesions["signal_S0"].to_numpy(), liver.iloc[:0]
    scaled = lesions.div(np.asarray(divisor, dtype=float), axis=0).replace([np.inf, -np.inf], np.nan)
    left_out = int(scaled.isna().all(axis=1).sum())
    groups = [(name, scaled[scaled.index.get_level_values("group") == name]) for name in classes]
    groups.append(("liver", liver.div(liver["signal_S0"], axis=0)))
    points = [
        {
            "group": name,
            "phase": phase,
            "mean": values.mean(),
            "se": values.std() / np.sqrt(len(values)),
            "n": len(values),
        }
        for name, frame in groups
        for phase in phases
        if len(values := frame[f"signal_{phase}"].dropna())
    ]
    return Curves(scale, left_out, pd.DataFrame(points)) if points else None


def tsic(curves: Curves | None, classes: Sequence[str]) -> Figure:
    """Draw mean ± one standard error of each class over S0 … S5, and the liver background as its own curve."""
    figure = new_figure(4.4, 4.0)
    if curves is None:
        return message(figure, "no contrast phase was measured")
    axes = figure.subplots()
    phases = list(dict.fromkeys(curves.points["phase"]))
    for offset, (name, part) in enumerate(curves.points.groupby("group", sort=False)):
        style = (
            {"color": BACKGROUND, "marker": "x", "linestyle": ":"} if name == "liver" else class_style(classes, name)
        )
        unit = "studies" if name == "liver" else "lesions"
        x = [
            phases.index(phase) + 0.04 * (offset - 1.5) for phase in part["phase"]
        ]  # side by side, so bars stay legible
        label = f"{name} ({part['n'].max()} {unit})"
        axes.errorbar(
            x, part["mean"], yerr=part["se"].fillna(0), capsize=2, linewidth=1.6, markersize=5, label=label, **style
        )
    quiet(axes, y=f"signal ÷ {curves.scale}")
    axes.set_xticks(range(len(phases)), [f"{phase}\n{PHASES[phase]}" for phase in phases])
    axes.legend(fontsize=SMALL, frameon=False)
    return figure


def curve_rows(curves: Curves) -> list[list[str]]:
    """Return ``group, n, <mean ± SE of each phase>`` as text, below a row of names."""
    phases = list(dict.fromkeys(curves.points["phase"]))
    rows = [["group", "n", *phases]]
    for group, part in curves.points.groupby("group", sort=False):
        cells = {
            row.phase: f"{row.mean:.2f}" + ("" if pd.isna(row.se) else f" ± {row.se:.2f}") for row in part.itertuples()
        }
        rows.append([str(group), str(part["n"].max()), *(cells.get(phase, "–") for phase in phases)])
    return rows
