"""The ``mpmri`` commands of a hospital that has a trained bundle: ask it about studies, check it, tune it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

hospital_app = typer.Typer()

Accepted = Annotated[
    list[str] | None, typer.Option(metavar="CODE", help="Use the bundle although `bundle inspect` found this.")
]
Bundle = Annotated[Path, typer.Option(help="Folder of the bundle, or its packed file (.zip).")]
OtherPeople = Annotated[
    bool,
    typer.Option("--other-people", help="Local patients with codes from the bundle's training are other people."),
]
LocalDevice = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
LocalWorkers = Annotated[int, typer.Option(min=0, help="Processes that prepare studies; 0 uses this one.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all that is drawn.")]


@hospital_app.command()
def infer(
    *,
    bundle: Bundle,
    study: Annotated[
        list[Path] | None,
        typer.Option("-i", "--input", metavar="STUDY", help="Studies: DICOM folder, zip, or folder of NIfTI files."),
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="STUDY", help="More of them, after -i.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the answers: one folder a study in it.")
    ] = None,
    nifti: Annotated[
        list[str] | None, typer.Option(metavar="SEQUENCE=FILE", help="A study by its NIfTI files, instead of -i.")
    ] = None,
    mask: Annotated[
        list[Path] | None, typer.Option(help="Lesions: NIfTI, DICOM SEG or RTSTRUCT; once for each study, in order.")
    ] = None,
    mask_in_study: Annotated[
        bool, typer.Option("--mask-in-study", help="Or the one SEG or RTSTRUCT that lies among the images.")
    ] = False,
    drawn_on: Annotated[str, typer.Option(help="Sequence of the mask, where the mask does not tell.")] = "",
    at: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,Z", help="Or the middle of a lesion in mm (RAS+), with --size.")
    ] = None,
    size: Annotated[float, typer.Option(metavar="MM", help="Side of the cube around it.")] = 0.0,
    find: Annotated[bool, typer.Option("--find", help="Or let a detector find the lesions.")] = False,
    detector: Annotated[
        Path | None, typer.Option(help="Bundle that finds them. [default: hcc_detection beside the bundle]")
    ] = None,
    liver: Annotated[Path | None, typer.Option(help="Mask of the liver (NIfTI, value 1), to look in.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which series would be used and what is missing; write nothing.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Answer even without a sequence that the bundle needs.")
    ] = False,
    protocol: Annotated[str, typer.Option(help="File of the bundle's protocol, when it is none of ours.")] = "",
    site_rules: Annotated[Path | None, typer.Option(help="File with the rules of the site (YAML).")] = None,
    dicom_out: Annotated[bool, typer.Option("--dicom-out", help="Also as DICOM SR, SEG and pictures.")] = False,
    from_pacs: Annotated[
        str | None, typer.Option(metavar="HOST:PORT/AET", help="Fetch the study, see --query.")
    ] = None,
    query: Annotated[
        list[str] | None, typer.Option(metavar="KEYWORD=VALUE", help="Which one, such as AccessionNumber=….")
    ] = None,
    to_pacs: Annotated[str | None, typer.Option(metavar="HOST:PORT/AET", help="Send the DICOM objects.")] = None,
    own_title: Annotated[
        str | None, typer.Option(metavar="AET", help="The name by which the PACS knows this machine. [default: MPMRI]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, … [default: cuda where there is one]")] = None,
    accept_risk: Accepted = None,
) -> None:
    """Ask a bundle about studies: probabilities, reasons, a report and DICOM objects. Goes on when run again."""
    from mpmri_monai.inference.infer_command import Places, infer_command, named_files, point
    from mpmri_monai.inference.question import Question

    asked = Question(
        nifti=named_files(nifti or ()),
        mask_in_study=mask_in_study,
        drawn_on=drawn_on,
        at=tuple(map(point, at or ())),
        size_mm=size,
        find=find,
        liver=str(liver or ""),
        allow_missing=allow_missing,
        protocol=protocol,
        site_rules=str(site_rules or ""),
    )
    places = Places(
        bundle=bundle,
        out=out,
        detector=detector,
        accepted=tuple(accept_risk or ()),
        device=device,
        dicom_out=dicom_out,
        from_pacs=from_pacs,
        query=tuple(query or ()),
        to_pacs=to_pacs,
        own_title=own_title,
    )
    raise typer.Exit(infer_command([*(study or ()), *(more or ())], mask or (), asked, places, dry_run))


@hospital_app.command()
def validate(
    *,
    bundle: Bundle,
    manifest: Annotated[Path, typer.Option(help="Labelled local patients (JSON), as `mpmri manifest` writes it.")],
    out: Annotated[Path, typer.Option(help="Folder to create.")],
    recalibrate: Annotated[
        float, typer.Option(metavar="SHARE", help="Calibrate again on this share of the patients, judge on the rest.")
    ] = 0.0,
    other_people: OtherPeople = False,
    device: LocalDevice = "auto",
    workers: LocalWorkers = 2,
    seed: Seed = 0,
    accept_risk: Accepted = None,
) -> None:
    """Validate a bundle on local patients: discrimination, calibration, shift, and a verdict in words."""
    from mpmri_monai.inference.validate import Choices, validate_command

    choices = Choices(recalibrate, other_people, device, workers, seed)
    raise typer.Exit(validate_command(bundle, manifest, out, choices, tuple(accept_risk or ())))


@hospital_app.command()
def finetune(
    *,
    bundle: Bundle,
    manifest: Annotated[Path, typer.Option(help="Labelled local patients (JSON).")],
    out: Annotated[Path, typer.Option(help="Folder for the new version, the trainings and the report.")],
    old_manifest: Annotated[
        Path | None, typer.Option(help="Patients of the site that the bundle comes from: what does it forget?")
    ] = None,
    held_out: Annotated[float, typer.Option(metavar="SHARE", help="Local patients that judge the result.")] = 0.5,
    depths: Annotated[
        str, typer.Option(metavar="0,1,2,…", help="Layers to tune, chosen among by inner folds; 0 tunes nothing.")
    ] = "",
    epochs: Annotated[int, typer.Option(min=0, help="Of each training; 0 for those of finetune.json.")] = 0,
    other_people: OtherPeople = False,
    device: LocalDevice = "auto",
    workers: LocalWorkers = 2,
    seed: Seed = 0,
    accept_risk: Accepted = None,
) -> None:
    """Fine-tune a bundle on local patients, compare it with itself on others, and write its next version."""
    from mpmri_monai.inference.finetune import finetune_command
    from mpmri_monai.inference.tuning import Tuning
    from mpmri_monai.training.fine_tuning import read_depths

    tuning = Tuning(held_out, read_depths(depths), epochs, other_people, device, workers, seed)
    raise typer.Exit(finetune_command(bundle, manifest, out, tuning, old_manifest, tuple(accept_risk or ())))


@hospital_app.command()
def federated(
    *,
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle to train together.")],
    site: Annotated[list[str], typer.Option(metavar="NAME=MANIFEST", help="A hospital's patients; once for each.")],
    out: Annotated[Path, typer.Option(help="Folder to create.")],
    pooled: Annotated[
        Path | None, typer.Option(help="Manifest of all patients together, to compare with; only in a simulation.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Exchanges of weights.")] = 10,
    local_epochs: Annotated[int, typer.Option(min=1, help="Epochs between two exchanges.")] = 1,
    test: Annotated[float, typer.Option(metavar="SHARE", help="Patients of each site that test.")] = 0.4,
    fusion: Annotated[str, typer.Option(help="Sequences that all sites have, such as T2-S2-S4; the bundle's.")] = "",
    views: Annotated[int, typer.Option(min=0, help="Views of a sample in an epoch; 0 for the bundle's.")] = 0,
    seed: Seed = 0,
) -> None:
    """Train one bundle at several hospitals without sharing images (NVFlare), beside each alone and all together."""
    from mpmri_monai.inference.federated import Federation, federated_command, read_sites

    options = {key: value for key, value in (("fusion", fusion), ("views", views)) if value}
    together = Federation(bundle, read_sites(site), out, pooled, rounds, local_epochs, test, seed, options)
    raise typer.Exit(federated_command(together))
