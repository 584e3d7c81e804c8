"""Comparisons of networks on the same patients, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpmri_monai.report.wording import metric_name, number, with_interval


def comparison_table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``header, rows, notes`` of comparisons.

    Args:
        records: either what `evaluation.compare` returns, with a ``name``, or flat dictionaries with text and numbers.
    """
    rows = [row for record in records for row in (_rows(record) if "metrics" in record else [dict(record)])]
    header = list(dict.fromkeys(key for row in rows for key in row))
    notes = dict.fromkeys(str(record[key]) for record in records for key in ("method", "limits") if key in record)
    return {"header": header, "rows": [[_cell(row.get(key)) for key in header] for row in rows], "notes": list(notes)}


def _rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each metric of what `evaluation.compare` returned."""
    return [
        {
            "comparison": record.get("name", "a − b"),
            "level": record["level"],
            "metric": metric_name(name),
            "a": found["a"],
            "b": found["b"],
            "difference": {"value": found["difference"], "low": found["low"], "high": found["high"]},
            "p": found["p"],
            **({"p (Holm)": found["p_holm"]} if "p_holm" in found else {}),
        }
        for name, found in record["metrics"].items()
    ]


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return with_interval(value)
    return number(value) if value is None or isinstance(value, float) else str(value)
