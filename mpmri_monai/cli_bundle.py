"""The ``mpmri bundle`` commands: bundles, before they travel and after they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bundle_app = typer.Typer(help="Look after bundles.", no_args_is_help=True)


@bundle_app.command("adopt")
def bundle_adopt(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    bundle: Annotated[Path, typer.Argument(help="Bundle that gets its weights.")],
) -> None:
    """Put the weights and the reference of a finished run into a bundle."""
    from mpmri_monai.bundle.adopt import adopt

    adopt(run, bundle)
    print(f"{bundle} now holds the weights of {run}.")
    print(f"Next: python -m monai.bundle run inference --config_file {bundle}/configs/inference.json --study DIR …")


@bundle_app.command("contents")
def bundle_contents(
    bundle: Annotated[Path, typer.Argument(help="Bundle whose files were changed on purpose.")],
) -> None:
    """Renew contents.json, the sha256 of every file of a bundle."""
    from mpmri_monai.bundle.adopt import CONTENTS, write_contents

    write_contents(bundle)
    print(f"{bundle / CONTENTS} now holds the hashes of the bundle's files as they are.")


@bundle_app.command("pack")
def bundle_pack(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The packed file, such as B.zip.")],
) -> None:
    """Pack a bundle into one file that says what is in it and where it comes from; the same files give the same one."""
    from mpmri_monai.bundle.pack import pack

    digest = pack(bundle, output)
    print(f"{output}: {output.stat().st_size >> 10} KiB, sha256 {digest}")
    print(f"Next, wherever it arrives: mpmri bundle inspect {output} && mpmri bundle verify {output}")


@bundle_app.command("inspect")
def bundle_inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle from somewhere else: folder or packed file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON instead of a table.")] = False,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Code of a danger that you have looked at and accept.")
    ] = None,
) -> None:
    """Look into a bundle without running any of it. Exit status 0: safe; 1: not safe; 2: could not be looked into."""
    import json

    from mpmri_monai.bundle.inspect import check_accepted, inspect_bundle
    from mpmri_monai.bundle.inspect_table import print_inspection
    from mpmri_monai.bundle.pack import opened

    accepted = check_accepted(accept or ())
    with opened(bundle) as folder:
        inspection = inspect_bundle(folder)
    if as_json:
        print(json.dumps(inspection.as_json(accepted), indent=2))
    else:
        print_inspection(inspection, bundle.name, accepted)
    raise typer.Exit(1 if inspection.dangers(accepted) else 0)
