"""The codes of an answer in DICOM: standard ones where they exist, else the private scheme 99MPMRI."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.sequences import GRADES

MANUFACTURER = "mpmri_monai"
PRIVATE_SCHEME = "99MPMRI"
LONGEST_TEXT = 64
"""Characters of a long string (VR LO), such as a description or the meaning of a code."""
NOT_FOR_DIAGNOSIS = f"{RESEARCH_ONLY} Made by software and not verified by a person."

MAGNETIC_RESONANCE_IMAGING = Code("113091000", "SCT", "Magnetic resonance imaging")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically abnormal structure")
GRADE_CODES = {
    "well": codes.SCT.Grade1WellDifferentiated,
    "moderately": codes.SCT.Grade2ModeratelyDifferentiated,
    "poorly": codes.SCT.Grade3PoorlyDifferentiated,
}
CLASS_CODES = {"hcc": Code("25370001", "SCT", "Hepatocellular carcinoma")}


def private_code(value: str, meaning: str) -> CodedConcept:
    """Return a code of the scheme 99MPMRI; its meaning is cut to what DICOM allows.

    Its value is as given: classes whose names differ in capitals alone are different ones.
    """
    return CodedConcept(value, PRIVATE_SCHEME, meaning[:LONGEST_TEXT])


def class_code(name: str, classes: Collection[str]) -> Code | CodedConcept:
    """Return the code of one class among the ``classes`` of a bundle.

    The words of the grades mean grades only where they are the classes: other bundles may use the same words.
    """
    if set(classes) == set(GRADES):
        return GRADE_CODES[name]
    return CLASS_CODES.get(name) or private_code(name, name)


def series_description(what: str) -> str:
    """Return the description of a new series; it says what the series may be used for."""
    return f"{MANUFACTURER} {what} - research use only"


def stable_uid(*parts: str) -> str:
    """Return the same UID for the same parts, and another one for others (PS3.5, B.2: 2.25 and 128 bits)."""
    content = hashlib.sha256("\n".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(content[:16], 'big')}"
