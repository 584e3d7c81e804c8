"""The ``mpmri`` commands of a hospital that has a trained bundle: ask it about studies, check it, tune it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

hospital_app = typer.Typer()


@hospital_app.command()
def infer(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle, or its packed file (.zip).")],
    study: Annotated[list[Path], typer.Option("-i", "--input", help="A study: DICOM folder, archive, NIfTI folder.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the answers, one folder a study.")],
) -> None:
    """Ask a bundle about studies: probabilities, a report and DICOM objects for each lesion."""
    raise typer.Exit(2)
