"""Is a bundle whole, as its documents say, and does it answer here as it did where it was made? One line a check."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import CONTENTS, refuse_unlike_contents, travelling_files
from mpmri_monai.bundle.selftest import EXPECTED, FOLDER, selftest
from mpmri_monai.bundle.verify_configs import check_keys, check_preprocessing, check_references
from mpmri_monai.bundle.verify_metadata import check_channels, check_metadata, check_terms, check_versions
from mpmri_monai.bundle.verify_outcome import DoesNotApply
from mpmri_monai.bundle.verify_weights import check_network, check_weights
from mpmri_monai.bundle.weights_record import MODEL
from mpmri_monai.errors import BundleError, MpmriError

PASS, FAIL, NO_MATTER, NOT_DONE = "pass", "FAIL", "does not apply", "not done"
COLOURS = {PASS: "green", FAIL: "red", NO_MATTER: "dim", NOT_DONE: "yellow"}
NEEDED = ("LICENSE", CONTENTS, "configs/metadata.json", "configs/train.json", "docs/README.md")
LONGEST = 400
"""Characters of a message of somebody else's that a table repeats."""


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    outcome: str
    """PASS, FAIL, NO_MATTER (there is nothing to check) or NOT_DONE (it would have run what is not safe)."""
    found: str
    fix: str = ""


def verify(bundle: Path, accepted: Collection[str] = (), device: str = "cpu") -> tuple[Check, ...]:
    """Make every check of the bundle in the folder ``bundle``, in an order in which the first failure explains others.

    What the bundle holds is run only where the inspection calls it safe.

    Args:
        bundle: its folder.
        accepted: codes of findings of the safety inspection that are accepted.
        device: that the self-test runs on.
    """
    checks = [_checked("structure", check_structure, bundle)]
    if checks[0].outcome == FAIL and not (bundle / "configs").is_dir():
        return tuple(checks)
    checks += [
        _checked("contents", check_contents, bundle),
        _checked("safety", _safety(accepted), bundle),
    ]
    safe = checks[-1].outcome == PASS
    for name, check in (
        ("metadata", check_metadata),
        ("terms", check_terms),
        ("versions", check_versions),
        ("keys", check_keys),
        ("references", check_references),
        ("channels", check_channels),
        ("preprocessing", check_preprocessing),
        ("weights", check_weights),
    ):
        checks.append(_checked(name, check, bundle))
    for name, runs in (("network", check_network), ("self-test", _self_test(accepted, device))):
        if safe:
            checks.append(_checked(name, runs, bundle))
        else:
            checks.append(Check(name, NOT_DONE, "it would run what the bundle holds", "see safety above"))
    return tuple(checks)


def _checked(name: str, check: Callable[[Path], str], bundle: Path) -> Check:
    try:
        return Check(name, PASS, check(bundle))
    except DoesNotApply as reason:
        return Check(name, NO_MATTER, str(reason))
    except MpmriError as error:
        found = f"{error.found} (expected: {error.expected})"
        return Check(name, FAIL, f"{error.where}: {found}" if error.where else found, error.fix or "")
    except Exception as error:  # a foreign bundle may hold anything, and the other checks are wanted too
        return Check(name, FAIL, f"{type(error).__name__}: {error}"[:LONGEST], "look at what the bundle holds there")


def check_structure(bundle: Path) -> str:
    """Return what the bundle consists of; raise BundleError naming all that is missing or cannot be read."""
    files = travelling_files(bundle)
    missing = [name for name in NEEDED if name not in files]
    broken = [name for name, path in files.items() if path.suffix == ".json" and not _is_json(path)]
    if missing or broken:
        parts = (("no", missing), ("no JSON in", broken))
        raise BundleError(
            expected=", ".join(NEEDED) + " and JSON that can be read",
            found="; ".join(f"{what} {', '.join(names)}" for what, names in parts if names),
            fix="get the bundle again, or put them there",
            code="E_STRUCTURE",
        )
    return f"{len(files)} files, no links"


def _is_json(path: Path) -> bool:
    try:
        artefacts.read_json(path)
    except (ValueError, RecursionError):
        return False
    return True


def check_contents(bundle: Path) -> str:
    """Return how many files are as contents.json lists them; raise BundleError naming those that are not."""
    return f"{refuse_unlike_contents(bundle)} files as {CONTENTS} lists them"


def _safety(accepted: Collection[str]) -> Callable[[Path], str]:
    def check(bundle: Path) -> str:
        from mpmri_monai.bundle.inspect import refuse_unsafe

        inspection = refuse_unsafe(bundle, accepted)
        if accepted:
            return f"safe but for what was accepted by name: {', '.join(sorted(accepted))}"
        return f"nothing runs but listed components ({len(inspection.findings)} notes)"

    return check


def _self_test(accepted: Collection[str], device: str) -> Callable[[Path], str]:
    def check(bundle: Path) -> str:
        if not (bundle / MODEL).is_file() or not (bundle / "configs" / "inference.json").is_file():
            raise DoesNotApply("the bundle does not answer: no models/model.pt with configs/inference.json")
        found = selftest(bundle, device, accepted)
        return (
            f"{len(found.answered)} regions of the tiny study in {FOLDER}/: largest difference {found.difference:.1e} "
            f"from {EXPECTED}, allowed {found.tolerance:g}"
        )

    return check


def verify_command(bundle: Path, accepted: Collection[str] = (), device: str = "cpu") -> int:
    """Print the checks of a bundle, given as folder or packed file, as a table; return 0 when none fails, else 1."""
    from mpmri_monai.bundle.pack import opened

    with opened(bundle) as folder:
        checks = verify(folder, accepted, device)
    table = Table("check", "", "found", "what to do", title=f"Bundle {escape(bundle.name)}")
    for check in checks:
        outcome = f"[{COLOURS[check.outcome]}]{check.outcome}[/]"
        table.add_row(check.name, outcome, escape(check.found), escape(check.fix))
    Console().print(table)
    bad = [check.name for check in checks if check.outcome in (FAIL, NOT_DONE)]
    print(f"Not verified: {', '.join(bad)}." if bad else "Verified: every check that applies passes.")
    return 1 if bad else 0
