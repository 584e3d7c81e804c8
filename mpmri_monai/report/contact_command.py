"""What `mpmri contact-sheet` does and prints."""

from __future__ import annotations

import sys
from pathlib import Path

from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import ConfigError
from mpmri_monai.report.contact_page import sheet_of_study, sheets_of_cohort


def contact_sheet_command(
    source: Path,
    output: Path,
    mask: Path | None = None,
    protocol: str | None = None,
    site_rules: Path | None = None,
    cache: Path | None = None,
    workers: int = 2,
    drawn_on: str | None = None,
) -> int:
    """Write the contact sheet of a study, or those of all studies of a manifest, and say where they are.

    Args:
        source: folder or archive of a study, or a manifest (.json).
        output: folder for the files.
        mask: of a study's lesions.
        protocol: of a study; liver when not given.
        site_rules: of a study.
        cache: where is noted which sheets of a cohort are up to date; None makes all anew.
        workers: processes that draw the studies of a cohort side by side.
        drawn_on: sequence that the mask of a study was drawn on.

    Returns:
        Exit status: 0 when all that was asked for could be shown, else 1.

    Raises:
        ConfigError: an option that a manifest already answers.
    """
    if source.suffix.lower() != ".json":
        page, failed = sheet_of_study(source, output, mask, protocol or "liver", site_rules, drawn_on)
        print(f"{page.with_suffix('.png')}\n{page}")
        if failed:
            print("Something of the study cannot be used; the page says what.", file=sys.stderr)
        return 1 if failed else 0
    given = {"--mask": mask, "--drawn-on": drawn_on, "--protocol": protocol, "--site-rules": site_rules}
    named = [option for option, value in given.items() if value is not None]
    if named:
        raise ConfigError(
            expected="a manifest alone", found=f"also {' '.join(named)}", fix="leave it out: the manifest says it"
        )
    index, faulty = sheets_of_cohort(load_manifest(source), output, cache, workers, progress=True)
    print(index)
    if faulty:
        print(f"Not all can be used of: {', '.join(faulty)}. The pages say what.", file=sys.stderr)
    return 1 if faulty else 0
