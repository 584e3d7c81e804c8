"""An answer in the words of a reading room: what is said, how sure it is, what cannot be excluded, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpmri_monai.report.wording import plural, without_folders

OUTLINED = "mask"
BOXES = ("box", "found")
"""Of ``result["study"]["lesions_from"]``: outlines, as those on which answers were calibrated, and what is none."""

NEARLY_SURE = 0.99
"""Above this no probability is rounded: nobody is told that all of 100 answers are right."""

Answer = Mapping[str, Any]
"""One of ``result["lesions"]``."""


def withheld(lesion: Answer) -> str:
    """Return why no class is named; empty when one is. A class that is not there always has a reason."""
    if lesion["predicted"] is not None:
        return ""
    return without_folders(str(lesion.get("abstained_because") or "the classifier abstains")).rstrip(".")


def facts(lesion: Answer, result: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be said of an answer beside its class, by what it is about; only what there is."""
    calibration, source = result.get("calibration") or {}, result["study"].get("lesions_from", OUTLINED)
    unnamed = lesion["predicted"] is None
    texts = {
        "Certainty": "" if unnamed else certainty(lesion, calibration, source),
        "What cannot be excluded": not_excluded(lesion, calibration, source),
        "Steadiness": "" if unnamed else steadiness(lesion),
        "What is missing": missing(lesion),
        "Where it comes from": how_found(lesion, source),
    }
    return {about: text for about, text in texts.items() if text}


def heeded(lesion: Answer) -> list[str]:
    """Return the warnings that are not among the reasons why no class is named."""
    return [text for text in cautions(lesion) if text not in withheld(lesion)]


def remarks(lesion: Answer, result: Mapping[str, Any]) -> list[str]:
    """Return all of that as lines, for where there is no page to lay it out on."""
    why = withheld(lesion)
    return [
        *([f"No class because: {why}."] if why else []),
        *(f"{about}: {text}" for about, text in facts(lesion, result).items()),
        *(f"Heed: {text}" for text in heeded(lesion)),
    ]


def synthetic(reference: Mapping[str, Any]) -> str:
    """Return what training on synthetic data means; empty where it was not on such."""
    if not reference.get("trained_on", {}).get("synthetic"):
        return ""
    return "The classifier has seen generated studies only. What it says of a patient has no known meaning."


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of the search before any answer."""
    return [capital(without_folders(str(note))) for note in result["study"].get("notes", [])]


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def certainty(lesion: Answer, calibration: Mapping[str, Any], lesions_from: str = OUTLINED) -> str:
    """Return how probable the named class is, and whether that number is a chance.

    It is one where it was calibrated: on outlined lesions, inside the range of training.

    Args:
        lesion: the answer.
        calibration: ``result["calibration"]``.
        lesions_from: ``result["study"]["lesions_from"]``.
    """
    value = lesion["probabilities"][lesion["predicted"]]
    sure = value > NEARLY_SURE
    shown = f"more than {NEARLY_SURE:.2f}" if sure else f"{value:.2f}"
    if calibration.get("temperature") is None:
        return f"{shown}, not calibrated: read it as a rank, not as a chance."
    if lesion.get("range_warnings"):
        return f"{shown}, a chance only inside the range of training, which this may not be: see “Heed”."
    if lesions_from in BOXES:
        return f"{shown}, if it is such a lesion at all: calibrated on lesions that a person outlined."
    of_100 = f"more than {100 * NEARLY_SURE:.0f}" if sure else f"about {100 * value:.0f}"
    return f"{shown}: {of_100} of 100 such answers are expected to be right."


def not_excluded(lesion: Answer, calibration: Mapping[str, Any], lesions_from: str = OUTLINED) -> str:
    """Return the conformal set in words; empty where no sets were fitted, or where it is not told (`possible`)."""
    promise, outside = calibration.get("conformal_sets"), bool(lesion.get("range_warnings"))
    if promise is None:
        return ""
    coverage, names = f"{100 * promise['coverage']:.0f}\u00a0%", possible(lesion)
    if names is None:
        return ""
    if not names:
        text = f"No class fits at {coverage}: the lesion is unlike those that the classifier knows."
    elif len(names) == 1:
        text = f"At {coverage}, only {names[0]} remains."
    elif len(names) == len(lesion["probabilities"]):
        text = f"At {coverage}, nothing is excluded: {listed(names, 'or')}."
    else:
        text = f"At {coverage}, {listed(names, 'or')}: which of these is open."
    if outside:
        return f"{text} This holds only inside the range of training: see “Heed”."
    return text + (" This holds for lesions that a person outlined." if lesions_from in BOXES else "")


def possible(lesion: Answer) -> list[str] | None:
    """Return the conformal set where it may be told, else None.

    Where no class is named, neither does the set name one: it is told only when it leaves several open, and when it is
    kept, inside the range of training.
    """
    names = lesion.get("conformal_set")
    if names is None or (lesion["predicted"] is None and (lesion.get("range_warnings") or len(names) < 2)):
        return None
    return list(names)


def promises(calibration: Mapping[str, Any]) -> list[str]:
    """Return on what the numbers of the page rest, once for all lesions."""
    told = []
    if calibration.get("temperature") is not None:
        told.append(
            "Probabilities were calibrated on validation patients and are chances in patients like those alone."
        )
    if promise := calibration.get("conformal_sets"):
        of = "each class" if promise.get("kind") == "conformal_by_class" else "all lesions"
        told.append(
            "What cannot be excluded: such sets hold the true class of at least "
            f"{100 * promise['coverage']:.0f}\u00a0% of {of}, again in patients like those of validation."
        )
    return told


def steadiness(lesion: Answer) -> str:
    """Return in how many of the slightly different crops the class was the same; empty where that was not tried."""
    share, count = lesion.get("agreement"), lesion.get("variants")
    if share is None:
        return ""
    if count == 1:
        return "There was no room to cut the lesion out otherwise, so it is not known how steady the answer is."
    same = f"{round(share * count)} of {count}" if count else f"{100 * share:.0f}\u00a0% of the"
    text = f"the same class in {same} slightly shifted, turned or scaled cuttings."
    return capital(text) if share >= 0.5 else f"Unsteady: {text}"


def missing(lesion: Answer) -> str:
    """Return which sequences were not there for this lesion."""
    absent = [name for name, there in lesion["present"].items() if not there]
    seen = [name for name, there in lesion["present"].items() if there]
    partly = [name for name in seen if lesion.get("slices_without", {}).get(name)]
    if partly and not absent:
        return f"{listed(partly)} on some slices; {listed(seen)} were seen on the others."
    if not absent:
        return f"Nothing: {listed(seen)} were seen." if len(seen) > 1 else f"Nothing: {listed(seen)} was seen."
    verb = "is" if len(absent) == 1 else "are"
    return f"{listed(absent)} {verb} missing. Only {listed(seen)} {'was' if len(seen) == 1 else 'were'} seen."


def cautions(lesion: Answer) -> list[str]:
    """Return what a reader has to know before relying on the answer: every warning once, in words."""
    given = [*lesion.get("range_warnings", []), *lesion.get("warnings", [])]
    return list(dict.fromkeys(_told(text) for text in given))


FLAGS = {
    "oblique": "{} was acquired at an angle to the other sequences",
    "partial": "{} covers only a part of what the network looks at",
    "unaligned": "{} moved against the other sequences and could not be aligned",
    "sagittal": "{} was acquired in sagittal slices",
    "coronal": "{} was acquired in coronal slices",
}
"""Flags of samples (`samples.sample.Sample.flags`) in words."""


def _told(text: str) -> str:
    flag, colon, sequence = str(text).partition(":")
    if colon and flag in FLAGS and " " not in sequence:
        return FLAGS[flag].format(sequence)
    return without_folders(str(text))


OUTLINES = {
    "mask": "Yellow: the outline that was given. ",
    "box": "Yellow: the box that was given; no person outlined the lesion. ",
    "found": "Yellow: the box around what software found. ",
    "whole study": "",
}
"""What the line in the pictures is, by ``result["study"]["lesions_from"]``."""


def searched_by(result: Mapping[str, Any]) -> str:
    """Return the detector that looked for lesions, with its version and weights; empty where none did."""
    detector = result["study"].get("searched_by")
    return f"{detector['name']} {detector['version']}, weights {detector['weights_sha256'][:12]}" if detector else ""


def noun(result: Mapping[str, Any]) -> str:
    """Return what is answered about: a lesion, or the study as a whole."""
    return "study" if result["study"].get("lesions_from") == "whole study" else "lesion"


def heading(lesion: Answer, noun: str) -> str:
    """Return ``Lesion L1, 24 mm``, or that the answer is about the whole study."""
    return "The whole study" if noun == "study" else f"Lesion {lesion['id']}, {lesion['extent_mm']:.0f} mm"


def capital(text: str) -> str:
    """Return ``text`` as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def how_found(lesion: Answer, lesions_from: str = OUTLINED) -> str:
    """Return where the lesion comes from when no person outlined it; empty otherwise."""
    if lesions_from == "box":
        return "A box around a point that was given, not an outline: check in the picture that it is on the lesion."
    if lesion.get("score") is None:
        return ""
    return f"Found by software (score {lesion['score']:.2f}), not outlined by a person: check that it is a lesion."


def record(reference: Mapping[str, Any]) -> str:
    """Return how well the classifier did when it was tested; empty where the reference does not say."""
    found = reference.get("results", {}).get("lesion", {}).get("accuracy") or {}
    if found.get("value") is None:
        return ""
    interval = ""
    if found.get("low") is not None and found.get("high") is not None:
        interval = f" (95\u00a0% interval {100 * found['low']:.0f} to {100 * found['high']:.0f}\u00a0%)"
    trained = reference.get("trained_on", {}).get("patients")
    by = f" ({plural(trained, 'patient')} trained it)" if trained else ""
    return (
        f"On other patients of the cohort that it was made from{by}, {100 * found['value']:.0f}\u00a0% of its lesion "
        f"answers were right{interval}."
    )


def importance_caption(lesion: Answer, reference: Mapping[str, Any]) -> str:
    """Return what the changes mean, and which of them come from a network that never met such a gap."""
    text = "Each sequence left out by itself. Blue: it spoke for the class, less probable without it; brown: against."
    seen = {} if reference.get("sequence_dropout") else reference.get("present", {})
    never = [name for name in lesion["importance"] if seen.get(name) == 1]
    if never:
        text += f" Training never left {listed(never, 'or')} out, so the change holds the network's surprise too."
    return text
