"""The cohorts that ship: how many patients, which hospitals, which scanners. Data, not code."""

from __future__ import annotations

from dataclasses import dataclass, field

from mpmri_monai.errors import ConfigError
from mpmri_monai.phantom.anatomies import BRAIN_OTHER_SCANNER, BRAIN_TARGET, LIVER, Anatomy
from mpmri_monai.sequences import DCE


@dataclass(frozen=True)
class Protocol:
    """How one group of sequences is acquired.

    Attributes:
        columns, rows, slices: matrix.
        pixel_mm, spacing_mm, thickness_mm: in the plane, between slice centres, and of the slice.
        noise: standard deviation of the noise in each of the two receiver channels, relative to the organ's signal.
        tr_ms, flip_deg: repetition time and flip angle.
        te_ms: echo time; for the dual echo that of OUT and IN.
    """

    columns: int
    rows: int
    slices: int
    pixel_mm: float
    spacing_mm: float
    thickness_mm: float
    noise: float
    tr_ms: float
    flip_deg: float
    te_ms: tuple[float, ...]


@dataclass(frozen=True)
class Site:
    """One hospital: its scanner and its habits.

    Attributes:
        vendor: ``GE``, ``SIEMENS`` or ``PHILIPS``: whose tag habits the files follow.
        t2, dual, dce: its protocols; None where it does not acquire that.
        share: relative number of its patients.
        dynamic: how the six DCE phases lie in series: ``one``, ``six`` or ``mixed`` (both kinds of patients).
        out_of_phase: whether it acquires OUT at all.
        contrast: exponent on the signals of other tissues relative to the organ; 1 is as in ``tissues``.
    """

    name: str
    vendor: str
    field_t: float
    t2: Protocol
    dual: Protocol | None = None
    dce: Protocol | None = None
    share: int = 1
    dynamic: str = "mixed"
    out_of_phase: bool = True
    contrast: float = 1.0

    @property
    def sequences(self) -> tuple[str, ...]:
        """The sequences it acquires, in canonical order."""
        dual = () if self.dual is None else ("IN", "OUT") if self.out_of_phase else ("IN",)
        return ("T2", *dual, *(DCE if self.dce else ()))

    @property
    def protocols(self) -> dict[str, Protocol]:
        """The protocol of each group of sequences that it acquires."""
        every = {"T2": self.t2, "dual": self.dual, "dce": self.dce}
        return {group: protocol for group, protocol in every.items() if protocol is not None}


@dataclass(frozen=True)
class Preset:
    """A cohort.

    Attributes:
        second_lesions: patients with one lesion more than ``lesions`` are this many of 48.
        class_weights: relative number of lesions per class.
        diameter_mm: typical diameter of a lesion; the latent ``diameter`` multiplies it.
        diameter_range_mm: hard limits of the diameter.
        lesion_height_mm: lesion centres lie within this distance of the middle of the stacks.
        seg_every: every so many patients' masks are DICOM SEG instead of NIfTI.
        anatomy: what the patients show.
        lesions: every patient has at least so many.
        lesion_upright: height of lesions relative to their width. Small ones need some, or else the gap between two
            slices could hide one.
        labelled: whether lesions, labels and truth are handed out; else only the images are.
        bundle: the bundle to train on it.
        letter: names of patients begin with it. Cohorts that one model may meet have other letters, as names tell
            whose images a model has seen.
    """

    name: str
    patients: int
    seed: int
    sites: tuple[Site, ...] = field(repr=False)
    second_lesions: int
    class_weights: tuple[int, ...]
    diameter_mm: float
    diameter_range_mm: tuple[float, float]
    lesion_height_mm: float
    seg_every: int = 5
    anatomy: Anatomy = field(default=LIVER, repr=False)
    lesions: int = 1
    lesion_upright: float = 1.0
    labelled: bool = True
    letter: str = "P"
    bundle: str = "hcc_grade"

    @property
    def cohort(self) -> str:
        """Name of the cohort that it makes."""
        return f"{self.anatomy.cohort}_{self.name.replace('-', '_')}"

    @property
    def sequences(self) -> tuple[str, ...]:
        """What its sites acquire, in order."""
        return tuple(name for name in self.anatomy.sequences if any(name in site.sequences for site in self.sites))


_QUICK = Site(
    "A", "GE", 3.0,
    t2=Protocol(192, 144, 14, 1.60, 6.0, 6.0, 0.040, 6000, 110, (85.0,)),
    dual=Protocol(160, 120, 14, 1.90, 6.0, 6.0, 0.035, 180, 75, (1.15, 2.3)),
    dce=Protocol(160, 120, 36, 1.85, 2.2, 2.2, 0.045, 3.6, 12, (1.3,)),
)  # fmt: skip

_PAPER = Site(
    "A", "GE", 3.0,
    t2=Protocol(320, 240, 27, 1.05, 6.0, 6.0, 0.045, 6000, 110, (85.0,)),
    dual=Protocol(256, 192, 27, 1.30, 6.0, 6.0, 0.040, 180, 75, (1.15, 2.3)),
    dce=Protocol(256, 192, 72, 1.28, 2.2, 2.2, 0.050, 3.6, 12, (1.3,)),
)  # fmt: skip

_SITES = (
    Site(
        "A", "GE", 3.0,
        t2=Protocol(224, 176, 16, 1.45, 6.0, 6.0, 0.040, 6000, 110, (85.0,)),
        dual=Protocol(192, 144, 16, 1.65, 6.0, 6.0, 0.035, 180, 75, (1.15, 2.3)),
        dce=Protocol(192, 144, 42, 1.60, 2.2, 2.2, 0.045, 3.6, 12, (1.3,)),
    ),
    Site(
        "B", "SIEMENS", 1.5,
        t2=Protocol(208, 160, 16, 1.56, 6.2, 5.5, 0.055, 3400, 150, (92.0,)),
        dual=Protocol(176, 132, 16, 1.80, 6.2, 5.5, 0.050, 120, 70, (2.38, 4.76)),
        dce=Protocol(176, 132, 34, 1.75, 2.8, 2.8, 0.060, 4.1, 10, (1.9,)),
        dynamic="six", contrast=0.9,
    ),
    Site(
        "C", "PHILIPS", 3.0,
        t2=Protocol(240, 192, 15, 1.40, 6.6, 6.0, 0.050, 1900, 90, (78.0,)),
        dual=Protocol(192, 144, 15, 1.70, 6.6, 6.0, 0.040, 150, 60, (2.3,)),
        dce=Protocol(192, 144, 48, 1.70, 2.0, 4.0, 0.050, 3.3, 10, (1.4,)),
        dynamic="one", out_of_phase=False, contrast=1.05,
    ),
)  # fmt: skip

_HEAD = Site(
    "H", "GE", 3.0,
    t2=Protocol(192, 240, 22, 0.90, 6.0, 5.0, 0.045, 4200, 111, (102.0,)),
)  # fmt: skip

_OTHER_HEAD = Site(
    "K", "SIEMENS", 1.5,
    t2=Protocol(160, 200, 20, 1.10, 6.5, 5.5, 0.045, 2100, 150, (64.0,)),
)  # fmt: skip

_BRAIN = Preset(
    "brain", 50, 11, (_HEAD,), 0, (1, 1), 10.5, (7.0, 14.0), 50.0,
    anatomy=BRAIN_TARGET, lesion_upright=1.25, letter="B", bundle="mctl_brain",
)  # fmt: skip

_BRAIN_SOURCE = Preset(
    "brain-source", 120, 12, (_OTHER_HEAD,), 0, (1, 1), 10.5, (7.0, 14.0), 50.0,
    anatomy=BRAIN_OTHER_SCANNER, lesions=8, lesion_upright=1.25, labelled=False, letter="S", bundle="mctl_autoencoder",
)  # fmt: skip

PRESETS = {
    "quick": Preset("quick", 27, 7, (_QUICK,), 32, (1, 1, 1), 30.0, (14.0, 46.0), 10.0),
    "paper": Preset("paper", 48, 6, (_PAPER,), 3, (12, 34, 5), 19.5, (8.0, 60.0), 40.0),
    "sites": Preset("sites", 30, 0, _SITES, 16, (1, 1, 1), 28.0, (10.0, 50.0), 12.0),
    "brain": _BRAIN,
    "brain-source": _BRAIN_SOURCE,
}


def preset(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(expected=f"a preset among {', '.join(PRESETS)}", found=repr(name))
    return PRESETS[name]
