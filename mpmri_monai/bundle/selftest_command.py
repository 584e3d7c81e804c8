"""``mpmri bundle selftest``: answers on the tiny study beside those expected; or expect these from now on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpmri_monai.bundle.pack import opened
from mpmri_monai.bundle.selftest import FOLDER, Probabilities, renew, selftest


def selftest_command(bundle: Path, device: str = "cpu", accepted: Collection[str] = ()) -> int:
    """Print the answers on the self-test's study beside those expected; return 0. Differing ones are an error."""
    with opened(bundle) as folder:
        found = selftest(folder, device, accepted)
    _print(found.answered, found.expected)
    print(f"Passed: the largest difference is {found.difference:.1e}, allowed are {found.tolerance:g}.")
    return 0


def renew_command(bundle: Path) -> int:
    """Write the self-test of a bundle anew, print what it expects from now on; return 0."""
    _print(renew(bundle))
    print(f"{bundle / FOLDER} now expects these answers; contents.json lists its files as they are.")
    return 0


def _print(answered: Probabilities, expected: Probabilities | None = None) -> None:
    table = Table("region", "class", "probability", *(("expected",) if expected else ()), title="Generated study")
    for lesion, classes in answered.items():
        for name, p in classes.items():
            table.add_row(lesion, name, f"{p:.6f}", *((f"{expected[lesion][name]:.6f}",) if expected else ()))
    Console().print(table)
