"""``mpmri infer``: from what was typed to a bundle that may be used, the questions, and their answers."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mpmri_monai.artefacts import make_folder
from mpmri_monai.bundle.inspect import refuse_unsafe
from mpmri_monai.bundle.pack import opened
from mpmri_monai.catalogue.containers.private_folder import PrivateFolder
from mpmri_monai.errors import BundleError, ConfigError, MpmriError
from mpmri_monai.inference.batch import ANSWERS, DONE, Entry, answer_all
from mpmri_monai.inference.dry_run import dry_run
from mpmri_monai.inference.infer import DICOM, Reader
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.question import Point, Question

DETECTOR = "hcc_detection"
"""Bundle that finds lesions, beside the one that answers, when none is named."""


@dataclass(frozen=True)
class Places:
    """The bundles, and where images come from and answers go to."""

    bundle: Path
    out: Path | None
    detector: Path | None = None
    accepted: tuple[str, ...] = ()
    """Codes of the findings about the bundle that a person accepts."""
    device: str | None = None
    dicom_out: bool = False
    from_pacs: str | None = None
    query: tuple[str, ...] = ()
    """``KEYWORD=VALUE``, of the one study to fetch."""
    to_pacs: str | None = None
    own_title: str | None = None
    """By which the PACS knows this machine; None for the usual one."""


def infer_command(studies: Sequence[Path], masks: Sequence[Path], asked: Question, places: Places, dry: bool) -> int:
    """Answer the studies, print the answers, and return the exit status: 0 when all were answered, else 1.

    Args:
        studies: as typed; none with ``asked.nifti`` or with a PACS to fetch from.
        masks: none, or one for each study, in the same order.
        asked: what is the same for all studies.
        places: the bundles, the folder of the answers, the PACS.
        dry: only say what would be used.

    Raises:
        ConfigError: options that do not go together.
        BundleError, WeightsError: a bundle that cannot be used, or that is not safe.
        PacsError: the PACS does not give the study.
    """
    _refuse_alone("--query", places.query, "--from-pacs", places.from_pacs)
    _refuse_alone("--own-title", places.own_title, "--from-pacs or --to-pacs", places.from_pacs or places.to_pacs)
    _refuse_alone("--detector", places.detector, "--find", asked.find)
    with ExitStack() as stack:
        if places.from_pacs:
            studies = [*studies, stack.enter_context(_fetched(places.from_pacs, places.query, places.own_title))]
        questions = questions_of(studies, masks, asked)
        model = stack.enter_context(_model(places.bundle, places.accepted))
        detector = None
        if asked.find:
            detector = stack.enter_context(_model(places.detector or _beside(places.bundle), places.accepted))
        if dry:
            answerable = [_dry(question, model, detector) for question in questions]
            return 0 if all(answerable) else 1
        if places.out is None:
            raise ConfigError(expected="-o and the folder for the answers", found="none", fix="add -o FOLDER")
        make_folder(places.out)
        reader = Reader.of(model, places.device, detector)
        entries = answer_all(questions, reader, places.out, places.dicom_out or places.to_pacs is not None)
        if places.to_pacs:
            _send(places.to_pacs, entries, places.out, places.own_title)
    _print_end(entries, places.out)
    return 0 if all(entry.state == DONE for entry in entries) else 1


def _refuse_alone(option: str, value: object, other: str, there: object) -> None:
    """Raise ConfigError for an option that means nothing without another one."""
    if value and not there:
        raise ConfigError(expected=f"{other} beside {option}", found=f"{option} alone", fix=f"add {other}")


def questions_of(studies: Sequence[Path], masks: Sequence[Path], asked: Question) -> list[Question]:
    """Return one question a study.

    Raises:
        ConfigError: no study, or not as many masks as studies, or points that are meant for one study given to several.
    """
    if asked.nifti:
        if studies:
            raise ConfigError(expected="-i STUDY or --nifti SEQUENCE=FILE", found="both")
        if len(masks) > 1:
            raise ConfigError(expected="one mask for the one study", found=f"{len(masks)}")
        return [replace(asked, lesion_mask=str(masks[0]) if masks else "")]
    if not studies:
        raise ConfigError(expected="at least one study", found="none", fix="add -i STUDY")
    if masks and len(masks) != len(studies):
        raise ConfigError(
            expected=f"--mask FILE once for each of the {len(studies)} studies, in their order", found=f"{len(masks)}"
        )
    if len(studies) > 1 and (asked.at or asked.liver):
        raise ConfigError(expected="one study for --at and --liver, which are places in it", found=f"{len(studies)}")
    given = [str(mask) for mask in masks] or [""] * len(studies)
    return [replace(asked, study=str(study), lesion_mask=mask) for study, mask in zip(studies, given, strict=True)]


def point(text: str) -> Point:
    """Return ``X,Y,Z`` as a point in mm; raise ConfigError for anything else."""
    try:
        x, y, z = map(float, text.split(","))
        if not all(map(math.isfinite, (x, y, z))):
            raise ValueError(text)
    except ValueError as error:
        raise ConfigError(expected="--at X,Y,Z in mm (RAS+), such as --at 42.5,-10,31", found=repr(text)) from error
    return x, y, z


def named_files(texts: Sequence[str]) -> Mapping[str, Path]:
    """Return ``SEQUENCE=FILE`` texts as a table; raise ConfigError for anything else, or a sequence twice."""
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in files:
            raise ConfigError(expected="--nifti SEQUENCE=FILE, once a sequence", found=repr(name) if equals else "no =")
        files[name] = Path(path)
    return files


@contextmanager
def _model(bundle: Path, accepted: Collection[str]) -> Iterator[TrainedModel]:
    """Yield the model of a bundle, a folder or a packed file, after a look at whether it is safe.

    Nothing of its configuration is evaluated: weights and reference are all that an answer is made from.
    """
    with opened(bundle) as folder:
        refuse_unsafe(folder, accepted)
        yield TrainedModel(folder / "models", folder)


def _beside(bundle: Path) -> Path:
    places = [bundle.resolve().parent / name for name in (DETECTOR, f"{DETECTOR}.zip")]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise BundleError(
            expected=f"the bundle {DETECTOR} beside the one that answers, to find lesions with",
            found="none",
            fix="name a detector with --detector BUNDLE",
        )
    return found


def _dry(question: Question, model: TrainedModel, detector: TrainedModel | None) -> bool:
    try:
        return dry_run(question, model, detector)
    except MpmriError as error:
        print(f"error: {question.without_paths(str(error))}", file=sys.stderr)
        return False


@contextmanager
def _fetched(address: str, query: Sequence[str], own_title: str | None) -> Iterator[Path]:
    """Yield a private folder with the study that a PACS has; it goes when the answer is there."""
    from mpmri_monai.inference.pacs import OWN_TITLE, fetch, parse_query  # the extra ``pacs``

    private = PrivateFolder("pacs")
    try:
        wanted = parse_query(query)
        yield fetch(address, wanted, private.path / "study", own_title=own_title or OWN_TITLE)
    finally:
        private.remove()


def _send(address: str, entries: Sequence[Entry], out: Path, own_title: str | None) -> None:
    from mpmri_monai.inference.pacs import OWN_TITLE, send  # the extra ``pacs``

    for entry in entries:
        if entry.state == DONE:
            files = sorted((out / str(entry.study) / DICOM).glob("*.dcm"))
            count = send(address, files, own_title or OWN_TITLE)
            print(f"{count} objects of {entry.study} are in the PACS.")


def _print_end(entries: Sequence[Entry], out: Path) -> None:
    failed = [number for number, entry in enumerate(entries, start=1) if entry.state != DONE]
    print(f"{len(entries) - len(failed)} of {len(entries)} studies answered: {out / ANSWERS}")
    if failed:
        numbers = ", ".join(map(str, failed))
        print(f"Failed: study {numbers}, as they were given. The same command tries them again.", file=sys.stderr)
