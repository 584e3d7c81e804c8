"""An inspection as a person reads it on the terminal."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpmri_monai.bundle.inspect import Inspection

_STYLES = {"danger": "bold red", "note": "dim"}


def print_inspection(inspection: Inspection, name: str, accepted: Collection[str] = (), console: Console | None = None):
    """Print the findings, what the configurations use, and the verdict. Foreign text is never read as markup."""
    console = console or Console()
    table = Table(title=Text(f"Inspection of {name}"), title_justify="left")
    for heading in ("level", "code", "where", "what"):
        table.add_column(heading, overflow="fold")
    for one in inspection.findings:
        level = "accepted" if one.code in accepted and one.level == "danger" else one.level
        cells = (level, one.code, one.where, one.what)
        table.add_row(*map(Text, cells), style=_STYLES.get(level, ""))
    console.print(table)
    for code, why in sorted({one.code: one.why for one in inspection.findings}.items()):
        console.print(Text(f"{code}: {why}"))
    for heading, names in (
        ("builds", inspection.targets),
        ("imports", inspection.imports),
        ("calls", inspection.calls),
    ):
        console.print(Text(f"{heading}: {', '.join(names) or 'nothing'}"))
    left = inspection.dangers(accepted)
    if left:
        codes = ", ".join(sorted({one.code for one in left}))
        console.print(
            Text(f"Not safe: {len(left)} dangers ({codes}). Nothing of the bundle was run.", style="bold red")
        )
    else:
        but = ", but for what you accepted" if inspection.dangers() else ""
        console.print(Text(f"Safe{but}: its configurations use listed functions only.", style="bold green"))
        console.print(Text("What that means and what it does not: docs/safety.md"))
