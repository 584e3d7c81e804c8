"""Look into a foreign bundle before any of it runs: nothing of it is evaluated, imported or unpickled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mpmri_monai.bundle.inspect_config import ConfigFile, Uses, inspect_configs
from mpmri_monai.bundle.inspect_data import DATA_KINDS, MOST_VALUES, NotPlainDataError, read_data
from mpmri_monai.bundle.inspect_files import inspect_content, inspect_files
from mpmri_monai.bundle.inspect_finding import REASONS, Finding, finding, printable
from mpmri_monai.errors import BundleError, ConfigError

METADATA = "configs/metadata.json"
MOST_FINDINGS = 500
"""Kept of each bundle, dangers first; nobody reads more, and a hostile one could hold millions."""
SHOWN = 5
"""Findings named in an error; the command shows all."""


@dataclass(frozen=True)
class Inspection:
    """What a bundle holds.

    Attributes:
        findings: dangers first, then notes.
        targets: classes and functions that its configurations build (``_target_``).
        imports: modules that they import.
        calls: functions and classes that their expressions use.
    """

    findings: tuple[Finding, ...]
    targets: tuple[str, ...]
    imports: tuple[str, ...]
    calls: tuple[str, ...]

    @property
    def safe(self) -> bool:
        """Whether nothing dangerous was found."""
        return not self.dangers()

    def dangers(self, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
        """Return the dangers, but for those with an accepted code."""
        return tuple(one for one in self.findings if one.level == "danger" and one.code not in accepted)

    def as_json(self, accepted: Collection[str] = ()) -> dict[str, object]:
        """Return the content as JSON; ``safe`` is the verdict without the accepted codes."""
        return {
            "schema": "mpmri-monai/inspection/1",
            "safe": not self.dangers(accepted),
            "accepted": sorted(accepted),
            "findings": [
                {"level": one.level, "code": one.code, "where": one.where, "what": one.what, "why": one.why}
                for one in self.findings
            ],
            "targets": list(self.targets),
            "imports": list(self.imports),
            "calls": list(self.calls),
        }


def inspect_bundle(folder: Path) -> Inspection:
    """Return what the bundle in ``folder`` holds, judged against the allow-lists.

    Raises:
        BundleError: there is no such folder, or a part of it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError(expected="the folder of a bundle", found="no folder", where=folder.name, code="E_BUNDLE")
    uses = Uses()
    try:
        found = list(dict.fromkeys(_findings(folder.resolve(), uses)))
    except OSError as error:
        raise BundleError(
            expected="a bundle that can be read", found=f"{error.strerror}", where=folder.name, code="E_BUNDLE"
        ) from error
    kept = sorted(found, key=_dangers_first)[:MOST_FINDINGS]
    named = (tuple(sorted(map(printable, names))) for names in (uses.targets, uses.imports, uses.calls))
    return Inspection(tuple(kept), *named)


def _findings(folder: Path, uses: Uses) -> list[Finding]:
    plain: list[Path] = []
    found = list(inspect_files(folder, plain))
    configs: list[ConfigFile] = []
    values = 0
    for path in plain:
        found += inspect_content(folder, path)
        if path.suffix in DATA_KINDS:
            where = path.relative_to(folder).as_posix()
            try:
                content, count = read_data(path)
                values += count
                if values > MOST_VALUES:
                    raise NotPlainDataError(f"more than {MOST_VALUES} values in all files together")
            except NotPlainDataError as error:
                found.append(finding("E_DATA", where, error))
            else:
                configs.append(ConfigFile(where, content, where == METADATA, where.startswith("configs/")))
    found += inspect_configs(configs, uses)
    return found


def _dangers_first(found: Finding) -> bool:
    return found.level != "danger"


def check_accepted(codes: Collection[str]) -> frozenset[str]:
    """Return the codes of dangers that a person accepts by name.

    Raises:
        ConfigError: there is no such danger.
    """
    dangers = [code for code in REASONS if code.startswith("E_")]
    unknown = sorted(set(codes) - set(dangers))
    if unknown:
        found = ", ".join(unknown)
        raise ConfigError(expected=f"codes of dangers: {', '.join(dangers)}", found=found, code="E_OPTION")
    return frozenset(codes)


def refuse_unsafe(folder: Path, accepted: Collection[str] = ()) -> Inspection:
    """Inspect the bundle in ``folder`` and refuse it when it holds a danger whose code is not accepted by name.

    Raises:
        BundleError: the bundle is not safe (``E_UNSAFE``), or cannot be read.
        ConfigError: a code is accepted that there is not.
    """
    accepted = check_accepted(accepted)
    inspection = inspect_bundle(folder)
    dangers = inspection.dangers(accepted)
    if dangers:
        named = [f"{one.code} {one.where} ({one.what})" for one in dangers[:SHOWN]]
        more = [f"and {len(dangers) - SHOWN} more"] if len(dangers) > SHOWN else []
        raise BundleError(
            expected="a bundle in which nothing can run but what is listed",
            found="; ".join(named + more),
            where=Path(folder).name,
            fix="read `mpmri bundle inspect` and docs/safety.md; to use it all the same, accept these codes by name",
            code="E_UNSAFE",
        )
    return inspection
