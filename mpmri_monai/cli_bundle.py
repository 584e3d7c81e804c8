"""The ``mpmri bundle`` commands: bundles, before they travel and after they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bundle_app = typer.Typer(help="Look after bundles.", no_args_is_help=True)

Accepted = Annotated[
    list[str] | None, typer.Option(metavar="CODE", help="Code of a danger that you have looked at and accept.")
]
Bundle = Annotated[Path, typer.Argument(help="Folder of a bundle, or its packed file.")]
Device = Annotated[str, typer.Option(help="That the self-test runs on.")]


@bundle_app.command("adopt")
def bundle_adopt(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    bundle: Annotated[Path, typer.Argument(help="Bundle that gets its weights.")],
) -> None:
    """Put the weights and the reference of a finished run into a bundle."""
    from mpmri_monai.bundle.adopt import adopt

    adopt(run, bundle)
    print(f"{bundle} now holds the weights of {run}.")
    print(f"Next, as its self-test expects the answers of other weights: mpmri bundle selftest {bundle} --renew")
    print(f"Then: python -m monai.bundle run inference --config_file {bundle}/configs/inference.json --study DIR …")


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
    accept: Accepted = None,
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


@bundle_app.command("verify")
def bundle_verify(
    bundle: Bundle,
    accept: Accepted = None,
    device: Device = "cpu",
) -> None:
    """Check that a bundle is whole, as its documents say, and answers here as where it was made. 0: all checks pass."""
    from mpmri_monai.bundle.verify import verify_command

    raise typer.Exit(verify_command(bundle, tuple(accept or ()), device))


@bundle_app.command("selftest")
def bundle_selftest(
    bundle: Bundle,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Write the tiny study and what is expected of it anew, for your own weights."),
    ] = False,
    device: Device = "cpu",
    accept: Accepted = None,
) -> None:
    """Answer on the tiny study in a bundle and compare with what its authors got. 0: it is the same."""
    from mpmri_monai.bundle.selftest_command import renew_command, selftest_command

    raise typer.Exit(
        renew_command(bundle) if renew else selftest_command(bundle, device=device, accepted=tuple(accept or ()))
    )
