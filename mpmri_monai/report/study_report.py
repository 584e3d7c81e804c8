"""The report of one study: what a radiologist reads first on one page, the details after it; one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mpmri_monai.artefacts import write_text
from mpmri_monai.report import study_report_words as words
from mpmri_monai.report.pictures import Picture, picture
from mpmri_monai.report.study_report_pictures import (
    LesionPictures,
    enhancement_figure,
    importance_figure,
    maps_figure,
    place_figure,
    signed,
)
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.template import template
from mpmri_monai.report.wording import without_folders

REPORT = "report.html"


def write_study_report(
    folder: Path,
    result: Mapping[str, Any],
    pictures: Mapping[str, LesionPictures],
    reference: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``report.html`` of an answer: self-contained, without scripts.

    Args:
        folder: where ``result.json`` lies.
        result: its content.
        pictures: by the lesion's id; one without pictures is told in words.
        reference: of the weights (``reference.json``): whether they were trained on synthetic data, how well they did,
            and the training cohort's curves.

    Returns:
        The path of the report. The same answer gives the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    reference = reference or {}
    lesions = [_lesion(lesion, result, pictures.get(lesion["id"]), reference) for lesion in result["lesions"]]
    content = {
        "research_only": RESEARCH_ONLY,
        "title": f"Classifier's answer: {reference.get('task') or result['bundle']['name']}",
        "study": result["study"]["code"],
        "bundle": result["bundle"],
        "synthetic": words.synthetic(reference),
        "lesions": lesions,
        "notes": words.notes(result),
        "overview": [[lesion["heading"], *lesion["answer"]] for lesion in lesions] if len(lesions) > 1 else [],
        "promises": words.promises(_calibration(result)),
        "record": words.record(reference),
        "calibrated": _calibration(result).get("temperature") is not None,
        "noun": words.noun(result),
        "classes": words.listed(_classes(result, reference)),
        "averaging": _averaging(result),
        "made": _made(result),
    }
    path = Path(folder) / REPORT
    write_text(path, template("study.html").render(content))
    return path


def _lesion(
    lesion: words.Answer, result: Mapping[str, Any], pictures: LesionPictures | None, reference: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the template says of one lesion."""
    withheld, facts, noun = words.withheld(lesion), words.facts(lesion, result), words.noun(result)
    outline = words.OUTLINES.get(result["study"].get("lesions_from", words.OUTLINED), "")
    return {
        "heading": words.heading(lesion, noun),
        "withheld": withheld,
        "answer": ["no answer", withheld] if withheld else [lesion["predicted"], facts["Certainty"]],
        "predicted": lesion["predicted"],
        "shares": list(lesion["probabilities"].items()),
        "facts": list(facts.items()),
        "cautions": words.heeded(lesion),
        "place": None if pictures is None else _place(pictures, words.heading(lesion, noun), outline),
        "explained": lesion.get("explained"),
        "pictures": _details(lesion, pictures, reference, _classes(result, reference)),
        "importance": [[name, signed(change)] for name, change in lesion.get("importance", {}).items()],
        "probabilities": [[name, f"{share:.3f}"] for name, share in lesion["probabilities"].items()],
        "curve": _curve_rows(lesion, reference, _classes(result, reference)),
        "data": _data(lesion),
    }


def _place(pictures: LesionPictures, heading: str, outline: str) -> Picture:
    left = f"{pictures.views[0].panel.left} marks that side of the patient. " if pictures.views else ""
    below = "Below, what" if pictures.views else "What"
    caption = f"{outline}{left}{below} the network saw, middle slice."
    absent = [name for name, there in pictures.present.items() if not there]
    alt = f"{heading}: in the image and as the network saw it in {words.listed(pictures.fusion)}."
    if absent:
        alt += f" Missing here: {words.listed(absent)}."
    return picture("place", "Where it is", caption, alt, place_figure(pictures))


def _details(
    lesion: words.Answer,
    pictures: LesionPictures | None,
    reference: Mapping[str, Any],
    classes: Sequence[str],
) -> list[Picture]:
    """Return the pictures of the second page: maps, importance, enhancement, as far as there is something to show."""
    made: list[Picture] = []
    maps: Figure | None = None if pictures is None else maps_figure(pictures)
    explained = lesion.get("explained") or lesion["predicted"] or "the class"
    if maps is not None:
        caption = (
            "Middle slice. Grad-CAM (of the last convolution): brighter places speak more for the class. Occlusion: a "
            "patch is covered in all sequences and slices at once; where purple, the class then loses probability."
        )
        made.append(picture("maps", "Where the network looked", caption, caption, maps, wide=True))
    if importance := lesion.get("importance"):
        caption = words.importance_caption(lesion, reference)
        alt = (
            "Change when left out: " + ", ".join(f"{name} {signed(value)}" for name, value in importance.items()) + "."
        )
        made.append(
            picture("importance", "What each sequence does", caption, alt, importance_figure(importance, explained))
        )
    if curve := lesion.get("tsic"):
        cohort = reference.get("tsic", {})
        caption = "Thick: this lesion. Thin: mean curves of the lesions trained on." if cohort else "This lesion."
        alt = "Signal by phase: " + ", ".join(f"{phase} {value:.2f}" for phase, value in curve.items()) + "."
        drawn = enhancement_figure(curve, cohort, classes, lesion["id"])
        made.append(picture("enhancement", "Time–signal intensity curve", caption, alt, drawn))
    return made


def _curve_rows(lesion: words.Answer, reference: Mapping[str, Any], classes: Sequence[str]) -> list[list[str]]:
    curve = lesion.get("tsic")
    if not curve:
        return []
    cohort = reference.get("tsic", {})
    trained = {f"{name}, training": cohort[name] for name in classes if name in cohort}
    curves = {lesion["id"]: curve} | trained
    rows = [[name, *(f"{c[phase]:.2f}" if phase in c else "–" for phase in curve)] for name, c in curves.items()]
    return [["curve", *curve], *rows]


def _data(lesion: words.Answer) -> list[list[str]]:
    position = ", ".join(f"{value:.1f}" for value in lesion.get("position_mm", []))
    rows = {
        "centre (right–left, back–front, foot–head; mm)": position,
        "largest extent in the plane": f"{lesion['extent_mm']:.1f} mm",
        "slices": str(lesion.get("slices", "")),
        "sequences there": words.listed([name for name, there in lesion["present"].items() if there]),
    }
    return [[name, value] for name, value in rows.items() if value]


def _made(result: Mapping[str, Any]) -> list[list[str]]:
    """Return where the answer comes from: bundle, weights, volumes of the study, software."""
    sequences = result["study"].get("sequences", {})
    calibration = _calibration(result)
    temperature, sets = calibration.get("temperature"), calibration.get("conformal_sets")
    rows = [
        ["bundle", f"{result['bundle']['name']} {result['bundle']['version']}"],
        ["weights (sha256)", result["bundle"]["weights_sha256"]],
        *([["searched by", words.searched_by(result)]] if words.searched_by(result) else []),
        *([f"{name} is volume", volume] for name, volume in sequences.items()),
        ["temperature", "none fitted" if temperature is None else f"{temperature:.4f}"],
        ["sets of classes", "none fitted" if sets is None else f"{sets['kind']}, coverage {sets['coverage']:g}"],
    ]
    return rows + [[str(name), _shown(value)] for name, value in result.get("software", {}).items()]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return without_folders(str(value))


def _averaging(result: Mapping[str, Any]) -> str:
    if result.get("averaging"):
        return "Probabilities are the mean over many crops of each slice, then over its slices."
    return "Probabilities are those of the central crop, averaged over the slices where there are several."


def _calibration(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("calibration") or {}


def _classes(result: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    first = result["lesions"][0]["probabilities"] if result["lesions"] else ()
    return list(reference.get("classes") or first)
