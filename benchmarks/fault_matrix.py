"""The fault matrix: what mpmri and other readers make of studies with known faults, written as docs/faults.md.

    pip install -e '.[test,faults]'
    python benchmarks/fault_matrix.py                     # writes docs/faults.md
    python benchmarks/fault_matrix.py --only "one slice"  # prints the cases whose name holds this text

Takes some minutes. A table without the readers that are not installed goes to an --output of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from faults.cases import CASES  # noqa: E402
from faults.outcome import Outcome  # noqa: E402
from faults.readers import READERS  # noqa: E402
from faults.table import OWN, kind_of, outcome_of, table  # noqa: E402
from mpmri_monai.artefacts import write_text  # noqa: E402

FULL_TABLE = ROOT / "docs" / "faults.md"


def main() -> int:
    """Run the matrix; 1 when mpmri is wrong about a case."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if sys.warnoptions:
        options.error("run it without -W, which would hide the warnings of the other readers")
    options.add_argument("--output", type=Path, default=FULL_TABLE)
    options.add_argument("--only", default="", help="print the cases whose name holds this text, and write nothing")
    asked = options.parse_args()
    readers = [reader for reader in READERS if reader.installed]
    absent = [reader.name for reader in READERS if not reader.installed]
    if absent and not asked.only and asked.output == FULL_TABLE:
        options.error(f"{', '.join(absent)} not installed; name another --output for a table without")
    outcomes: dict[tuple[str, str], Outcome] = {}
    for case in track([case for case in CASES if asked.only in case.name], "reading"):
        outcomes[case.name, OWN] = outcome_of(case, None)
        for reader in readers if case.elsewhere else ():
            outcomes[case.name, reader.name] = outcome_of(case, reader)
    if asked.only:
        for (name, reader), outcome in outcomes.items():
            print(f"{name} | {reader} | {kind_of(outcome)} {outcome.detail} {' '.join(outcome.refused)}")
    else:
        write_text(asked.output, table(readers, outcomes))
    return int(any(outcome.verdict == "wrong" for (_, reader), outcome in outcomes.items() if reader == OWN))


if __name__ == "__main__":
    sys.exit(main())
