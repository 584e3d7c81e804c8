"""``mpmri prepare``: build the store of a cohort and say what is in it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpmri_monai.artefacts import cache_folder, read_json
from mpmri_monai.cohort import Manifest, load_manifest
from mpmri_monai.errors import BundleError
from mpmri_monai.samples.preparation import prepare
from mpmri_monai.samples.settings import Settings
from mpmri_monai.samples.store import SHIFT, Store
from mpmri_monai.sequences import SEQUENCES, fusion_name


def prepare_command(
    manifest_path: Path,
    cache: Path | None = None,
    workers: int = 0,
    settings: Settings | None = None,
    scheduler: str | None = None,
    bundle: Path | None = None,
) -> int:
    """Build the store, print what it holds, and return the exit status: 1 when a study had to be left out
    or there is no sample at all.

    Args:
        manifest_path: of the cohort.
        cache: folder that the store goes into; the named cache by default.
        workers: processes.
        settings: how samples are taken.
        scheduler: address of a Dask scheduler, in place of ``workers``.
        bundle: that is named as the next step, the grade of the liver by default.
    """
    manifest = load_manifest(manifest_path)
    store = prepare(manifest, settings or Settings(), cache or cache_folder(), workers, scheduler=scheduler)
    align, console = store.settings.align, Console()
    console.print(_coverage(store))
    for table in _classes(store, manifest):
        console.print(table)
    flagged = store.table["flags"].ne("").sum()
    if flagged:
        console.print(
            f"{flagged} samples carry flags: oblique = slices more than 2° apart, partial = partly covered, "
            "unaligned = motion refused, stray = box stretched by mask voxels far from the rest, "
            "sagittal, coronal = planes of a 3D crop that is not axial, cut = lesion larger than the 3D crop"
        )
    for study, problem in store.failed.items():
        console.print(f"[red]left out[/red] {study}: {problem}", highlight=False)
    console.print(f"Store: {store.folder}", soft_wrap=True)
    if store.table.empty:
        console.print("[red]No sample: no study of this manifest has a lesion that could be sampled.[/red]")
        return 1
    config = (bundle or Path("bundles/hcc_grade")) / "configs" / "train.json"
    console.print(
        f"Next:  python -m monai.bundle run training --config_file {config} --manifest {manifest_path}"
        + (_question(manifest) if bundle is None else "")
        + ("" if align == "none" else f" --samples#align {align}"),
        soft_wrap=True,
    )
    return 1 if store.failed else 0


def bundle_settings(bundle: Path) -> Settings:
    """Return how the training of a bundle takes samples.

    Raises:
        BundleError: the bundle has no training configuration, or it does not state samples.
        ConfigError: the settings are not usable.
    """
    path = bundle / "configs" / "train.json"
    try:
        options = read_json(path)["samples"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            expected="a bundle whose configs/train.json states its samples",
            found="none" if not path.exists() else "a file that does not",
            where=str(path),
            fix="name the folder of a bundle, such as bundles/hcc_grade",
        ) from error
    return Settings(**options)


def _question(manifest: Manifest) -> str:
    """Return what has to be said of a cohort that is not about the grade of the bundle named, or lacks its sequences.

    Of several labels the first is shown, with all sequences.
    """
    words = "" if "grade" in manifest.classes or not manifest.classes else f" --task {next(iter(manifest.classes))}"
    return words if set(SEQUENCES) <= set(manifest.sequences) else f"{words} --fusion {fusion_name(manifest.sequences)}"


def _coverage(store: Store) -> Table:
    """Return a table of the sequences: in how many samples present, how far off the asked position, how far moved."""
    columns = {"largest offset mm": "offset"}
    if store.settings.align != "none":
        columns["largest shift mm"] = SHIFT
    table = Table("sequence", "present", *columns, title=f"{len(store.table)} samples")
    for sequence in store.sequences:
        present = store.table[f"present_{sequence}"]
        largest = (store.table[f"{name}_{sequence}"].max() for name in columns.values())
        table.add_row(sequence, f"{present.sum()}", *(f"{mm:.1f}" if present.any() else "–" for mm in largest))
    return table


def _classes(store: Store, manifest: Manifest) -> list[Table]:
    """Return for every label a table of its classes: patients, lesions (or whole studies) and samples; none of patches,
    which have no label."""
    if store.table["kind"].eq("patch").all():
        return []
    result = []
    lesions = store.table[store.table["kind"].isin(["lesion", "study"])]
    background = store.table[store.table["kind"] == "background"]
    for key, classes in manifest.classes.items():
        table = Table(key, "patients", "lesions", "samples")
        for name in (*classes, ""):
            rows = lesions[lesions[f"label_{key}"] == name]
            if name or len(rows):
                table.add_row(name or "(no label)", *_counts(rows))
        table.add_row("background", *_counts(background))
        result.append(table)
    return result


def _counts(rows) -> tuple[str, str, str]:
    lesions = rows[["study", "lesion"]].drop_duplicates()
    return str(rows["patient"].nunique()), str(len(lesions)), str(len(rows))
