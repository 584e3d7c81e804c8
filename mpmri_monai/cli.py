"""The ``mpmri`` command: everything around the bundle commands."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from mpmri_monai import __version__
from mpmri_monai.artefacts import cache_folder
from mpmri_monai.cli_bundle import bundle_app
from mpmri_monai.cli_hospital import hospital_app
from mpmri_monai.errors import MpmriError

EPILOG = (
    "Train: python -m monai.bundle run training --config_file bundles/hcc_grade/configs/train.json. "
    "Research use only: not for diagnosis."
)
app = typer.Typer(
    help="From multi-parametric MRI studies to honestly validated lesion classifiers.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bundle_app, name="bundle")
app.add_typer(hospital_app)

Workers = Annotated[int, typer.Option(min=0, help="Processes that work on studies at the same time; 0 uses this one.")]


Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Dask scheduler whose workers do the work instead, on shared files."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to create; must not exist.")],
    preset: Annotated[
        str,
        typer.Option(
            help="quick (the demo), paper (48 patients), sites (three hospitals); brain, brain-source (unlabelled)."
        ),
    ] = "quick",
    patients: Annotated[int | None, typer.Option(help="Patients to make instead of the preset's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same cohort.")] = None,
    study: Annotated[
        bool, typer.Option("--study", help="Write one study that is in no cohort, to try inference on.")
    ] = False,
) -> None:
    """Write the digital reference cohort: DICOM studies with lesions, labels and the truth behind them."""
    from mpmri_monai.phantom.commands import phantom_command, study_command

    raise typer.Exit(study_command(out, preset, seed) if study else phantom_command(out, preset, patients, seed))


@app.command()
def scan(
    study: Annotated[Path, typer.Argument(help="Folder, archive or file that holds one study.")],
    protocol: Annotated[str, typer.Option(help="liver, brain, prostate, a YAML file, or none to list only.")] = "liver",
    site_rules: Annotated[Path | None, typer.Option(help="Rules of the site (YAML), see docs/site-rules.md.")] = None,
    study_number: Annotated[int | None, typer.Option("--study", help="Which study to take, of several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the catalogue as JSON.")] = False,
) -> None:
    """Say which series and phase of a study is which sequence, and why, from its headers."""
    from mpmri_monai.catalogue.table import scan_command

    raise typer.Exit(scan_command(study, as_json, protocol, site_rules, study_number))


@app.command()
def deidentify(
    study: Annotated[Path, typer.Argument(help="Folder or archive with the DICOM files of one study.")],
    out: Annotated[Path, typer.Argument(help="Folder to create; must not exist.")],
    key_file: Annotated[Path, typer.Option(help="Secret behind UIDs and dates; made when it is not there.")],
    patient: Annotated[str | None, typer.Option(help="Code for the patient, such as P001.")] = None,
    protocol: Annotated[str, typer.Option(help="By which original and copy are compared.")] = "liver",
    study_number: Annotated[int | None, typer.Option("--study", help="Which study to take, of several.")] = None,
) -> None:
    """Copy a study without what could lead to the patient, and check that the copy gives the same catalogue."""
    from mpmri_monai.catalogue.sharing.deidentify import deidentify_command

    raise typer.Exit(deidentify_command(study, out, key_file, patient, protocol, study_number))


@app.command()
def manifest(
    cohort: Annotated[Path, typer.Argument(help="Folder that holds the studies.")],
    labels: Annotated[
        Path, typer.Option(help="CSV, one row a lesion: patient, study, site, folder, mask, value, …, and labels.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Manifest to write (JSON).")],
    name: Annotated[str | None, typer.Option(help="Name of the cohort; the folder's unless given.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=A,B,…",
            help="A label column and its classes in order; once for each. [default: grade=well,moderately,poorly]",
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help="liver, brain, prostate, or a file (.yaml).")] = "liver",
    site_rules: Annotated[
        Path | None, typer.Option(help="File with rules for all sites, or folder with <site>.yaml for each.")
    ] = None,
    workers: Workers = 2,
) -> None:
    """Scan the studies of a cohort and write its manifest: images by role, lesions, labels. Goes on when run again."""
    from mpmri_monai.cohort.commands import manifest_command

    raise typer.Exit(
        manifest_command(
            cohort,
            labels,
            output,
            name,
            classes=classes or (),
            protocol=protocol,
            site_rules=site_rules,
            cache=cache_folder(),
            workers=workers,
        )
    )


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest (JSON).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for every row as CSV and JSON.")] = None,
    workers: Workers = 2,
) -> None:
    """Check a manifest against its files: what is missing, geometry, masks, how much of each lesion is covered."""
    from mpmri_monai.report.check_command import check_command

    raise typer.Exit(check_command(manifest, output, cache_folder(), workers))


@app.command("contact-sheet")
def contact_sheet(
    source: Annotated[Path, typer.Argument(help="Folder or archive of a study, or a manifest (JSON).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for a PNG and an HTML page a study.")],
    mask: Annotated[
        Path | None, typer.Option(help="Lesions of a study: NIfTI, DICOM SEG or RTSTRUCT, on any of its sequences.")
    ] = None,
    drawn_on: Annotated[str | None, typer.Option(help="Sequence of the mask, where the mask does not tell.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Of a study: liver, brain, prostate, none, or a file (.yaml).")
    ] = None,
    site_rules: Annotated[Path | None, typer.Option(help="File with the rules of the study's site.")] = None,
    workers: Workers = 2,
) -> None:
    """Draw every sequence at the lesion, with its outline: shows a wrong phase or a shifted mask in seconds."""
    from mpmri_monai.report.contact_command import contact_sheet_command

    cache = cache_folder()
    raise typer.Exit(contact_sheet_command(source, output, mask, protocol, site_rules, cache, workers, drawn_on))


@app.command()
def prepare(
    manifest: Annotated[Path, typer.Argument(help="Manifest (JSON).")],
    workers: Workers = 2,
    align: Annotated[
        str | None, typer.Option(help="none (the default), or rigid: first undo the motion between sequences.")
    ] = None,
    scheduler: Scheduler = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the bundle that the samples are for; 3D bundles take a grid.")
    ] = None,
) -> None:
    """Cut the samples of a cohort out of its images, once; training and every fusion read them from the cache."""
    from mpmri_monai.samples import Settings
    from mpmri_monai.samples.commands import bundle_settings, prepare_command

    options = {} if bundle is None else bundle_settings(bundle).model_dump()
    settings = Settings(**options | ({} if align is None else {"align": align}))
    raise typer.Exit(prepare_command(manifest, cache_folder(), workers, settings, scheduler, bundle))


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="Name of the experiment, or list to see them all.")],
    *,
    bundle: Annotated[list[Path] | None, typer.Option(help="Bundle to train; once for each.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest of the cohort (JSON).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the experiment; the same command goes on in it.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Repetitions, instead of the experiment's own.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train at the same time; one a core.")] = 2,
    scheduler: Scheduler = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    task: Annotated[
        str | None, typer.Option(help="Instead of the bundle's: a task, or a label that the manifest has classes for.")
    ] = None,
    fusion: Annotated[str | None, typer.Option(help="Instead of the bundle's own, such as T2 or T2-OUT-S4.")] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Say what would be run and how long it takes.")
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Option of the experiment; once for each.")
    ] = None,
) -> None:
    """Answer a question that takes many trainings: plan them, run them, report. Goes on when run again."""
    from mpmri_monai.experiments.arguments import context_of, listed

    if name == "list":
        print(listed())
        return
    context = context_of(
        bundle,
        manifest,
        out,
        repeats=repeats,
        workers=workers,
        scheduler=scheduler,
        precision=precision,
        seed=seed,
        options=option,
        task=task,
        fusion=fusion,
    )
    from mpmri_monai.experiments.commands import experiment_command

    raise typer.Exit(experiment_command(name, context, plan_only))


@app.command()
def compare(
    models: Annotated[
        list[Path],
        typer.Argument(help="The reference, then others: a run folder, a folder of runs (folds, repeats), or a CSV."),
    ],
    level: Annotated[str, typer.Option(help="slice, lesion or patient.")] = "lesion",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for all that was found (JSON).")] = None,
) -> None:
    """Say whether models differ on the same patients: differences with intervals, paired p-values, corrected."""
    from mpmri_monai.evaluation.compare_command import compare_command

    raise typer.Exit(compare_command(models, level, output))


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run, or of an experiment.")],
) -> None:
    """Look for leaks: whatever would make the test patients' score flatter. Exit status 1 when there is one."""
    from mpmri_monai.bundle.audit import audit_command

    raise typer.Exit(audit_command(folder))


def _end(number: int, frame: object) -> None:
    """End as if by an error, so that unpacked archives and half-written files go too."""
    sys.exit(128 + number)


def main() -> None:
    """Run the command; an error meant for people ends it with the message alone and exit status 2."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        app()
    except MpmriError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
