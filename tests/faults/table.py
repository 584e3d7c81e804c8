"""The table of the fault matrix in the documentation: case by case, what each reader makes of the same files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from faults.cases import CASES, GROUPS, Case
from faults.outcome import Outcome, judge
from faults.own import read
from faults.readers import Reader, read_apart

OWN = "mpmri"
KINDS = ("right", "refuses", "wrong, with a message", "wrong, silently")
COMMAND = "python benchmarks/fault_matrix.py"
HEAD = """# Fault matrix

What `mpmri scan` and other readers make of studies with a fault, or with an oddity that is none. The studies are
synthetic: every voxel and its place is known, so what a reader returns is compared voxel by voxel with what was
acquired, and its affine with where it was acquired. Made by `{command}`, which needs the extra
`faults`; the column of mpmri is also a test (`tests/faults`).

* **right**: exactly the volumes that were acquired, each once and in its place, in the order of time where the reader
  claims one. What is no volume (a localizer, a mosaic) is left out. mpmri may add a warning, such as W_DUP.
* **refuses**: an error or a named problem, and nothing wrong is returned.
* **wrong, with a message**: a volume that never was, volumes mixed or lost; something about it was printed.
* **wrong, silently**: the same, and nothing was said.

{versions}
Each reader is used as its documentation shows, on the whole folder: MONAI's readers return one volume, SimpleITK and
the converters one for each series or part of it that they see. Archives and NIfTI are for mpmri alone. A reader that
has no notion of phases cannot be right about a series that holds several; that is what the table is for.
"""


def outcome_of(case: Case, reader: Reader | None) -> Outcome:
    """Let a reader, or mpmri, read a case."""
    with tempfile.TemporaryDirectory() as folder:
        made = case.study()
        study = made.write(Path(folder) / "study")
        reading = read(study, case.protocol) if reader is None else read_apart(reader, study)
        return judge(reading, made.truths)


def table(readers: Sequence[Reader], outcomes: dict[tuple[str, str], Outcome]) -> str:
    """The document.

    Args:
        readers: in the order of their columns.
        outcomes: (name of the case, name of the reader or OWN) -> outcome.
    """
    names = [OWN, *(reader.name for reader in readers)]
    versions = "Versions: " + ", ".join(f"{reader.name} {reader.version}" for reader in readers) + ".\n"
    lines = [HEAD.format(command=COMMAND, versions=versions if readers else ""), *_summary(names, outcomes)]
    for group in GROUPS:
        lines += [f"\n## {group}\n", f"| case | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for case in CASES:
            if case.group == group:
                cells = [_cell(outcomes.get((case.name, name)), name == OWN) for name in names]
                lines.append(f"| **{case.name}**: {_escaped(case.about)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _summary(names: Sequence[str], outcomes: dict[tuple[str, str], Outcome]) -> list[str]:
    counts = {name: Counter(kind_of(outcomes[key]) for key in outcomes if key[1] == name) for name in names}
    lines = ["", f"| cases | {' | '.join(names)} |", "|---" + "|--:" * len(names) + "|"]
    lines += [f"| {kind} | {' | '.join(str(counts[name][kind]) for name in names)} |" for kind in KINDS]
    lines.append(f"| all | {' | '.join(str(counts[name].total()) for name in names)} |")
    return lines


def kind_of(outcome: Outcome) -> str:
    """One of KINDS."""
    if outcome.verdict != "wrong":
        return outcome.verdict
    return "wrong, with a message" if outcome.warned or outcome.refused else "wrong, silently"


def _cell(outcome: Outcome | None, own: bool) -> str:
    if outcome is None:
        return "–"
    if outcome.verdict == "wrong":
        kind = kind_of(outcome)
        return f"{'**' + kind + '**' if kind.endswith('silently') else kind}: {outcome.detail}"
    return _own_cell(outcome.refused, outcome.warned) if own else outcome.verdict


def _own_cell(refused: Sequence[str], warned: Sequence[str]) -> str:
    start = f"refuses {' '.join(sorted(refused))}" if refused else "right"
    return f"{start}, {' '.join(sorted(warned))}" if warned else start


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def expected_cells(case: Case) -> tuple[str, str]:
    """What the table has to say of a case in its first column and in that of mpmri."""
    return f"**{case.name}**: {_escaped(case.about)}", _own_cell(tuple(case.refused), tuple(case.warned))


def listed_cells(document: str) -> list[tuple[str, str]]:
    """The first column and that of mpmri, of all cases in a document."""
    rows = [line.split(" | ") for line in document.splitlines() if line.startswith("| **")]
    return [(row[0].removeprefix("| "), row[1]) for row in rows]
