"""What a class is in the phantom: Gaussian latents whose mean depends on the class.

Every lesion has one latent vector z ~ N(mean of its class, identity). Latent k changes the picture by an amount that
grows with z_k, times a pattern (module ``lesion``), times a weight per sequence. A latent is visible in the sequences
with a weight, so the density of the latents that a subset of sequences shows is the restriction of the same Gaussian,
and the posterior of the class given those sequences is exact.

Latents with the pattern ``mean`` shift the mean signal of the lesion; there the classes differ little. The structures
have zero mean over the lesion: most of the class can only be read from them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.errors import EvaluationError
from mpmri_monai.sequences import GRADES, SEQUENCES

LATE = {"S3": 0.85, "S4": 1.0, "S5": 0.95}
ARTERIAL = {"S1": 0.6, "S2": 1.0}
EVERYWHERE = dict.fromkeys(SEQUENCES, 1.0)


@dataclass(frozen=True)
class Latent:
    """One way in which lesions differ.

    Attributes:
        means: mean per class, in units of the standard deviation that all classes share.
        pattern: where in the lesion it acts: ``size``, ``outline``, ``mean``, or a structure of module ``lesion``.
        typical, slope: the amount is ``typical · 2 / (1 + exp(−slope · z))``, which stays below twice the typical one;
            for ``size`` it is ``typical · exp(slope · z)``. It multiplies the typical diameter (``size``), the radius
            (``outline``) or the signal of the liver around.
        weights: sign and strength per sequence; sequences that are not named do not show it.
    """

    name: str
    means: tuple[float, ...]
    pattern: str
    typical: float
    slope: float
    weights: Mapping[str, float] = field(repr=False)

    def amount(self, z: float) -> float:
        """Return the amount that the standardised value ``z`` stands for: a growing function of it, never negative."""
        if self.pattern == "size":
            return float(self.typical * np.exp(self.slope * z))
        return float(self.typical * 2 / (1 + np.exp(-self.slope * z)))


@dataclass(frozen=True)
class ClassModel:
    """The generating model of one kind of finding.

    Attributes:
        label: key under which labels are kept.
        classes: in order.
        sequences: what can be acquired.
        latents: how findings differ.
    """

    label: str
    classes: tuple[str, ...]
    sequences: tuple[str, ...]
    latents: tuple[Latent, ...] = field(repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the latents."""
        return tuple(latent.name for latent in self.latents)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Class means (class, latent)."""
        return np.array([latent.means for latent in self.latents]).T

    def draw(self, label: str, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the latents (latent,) of one finding of class ``label``."""
        return self.means[self.classes.index(label)] + rng.standard_normal(len(self.latents))

    def visible(self, sequences: Collection[str]) -> NDArray[np.bool_]:
        """Return which latents (latent,) at least one of ``sequences`` shows."""
        return np.array([any(name in latent.weights for name in sequences) for latent in self.latents])

    def posterior(
        self, z: NDArray[np.float64], sequences: Collection[str], prior: Sequence[float] | NDArray
    ) -> NDArray[np.float64]:
        """Return the probability of each class (finding, class) given the latents that ``sequences`` show.

        Bayes' rule with unit-variance Gaussians: log p(class | z) = log prior − |z − mean|² / 2 + const.

        Args:
            z: latents (finding, latent).
            sequences: what the observer sees; none at all leaves the prior.
            prior: share of each class in the cohort.
        """
        seen = self.visible(sequences)
        distance = ((z[:, None, seen] - self.means[None, :, seen]) ** 2).sum(axis=-1)
        with np.errstate(divide="ignore"):
            score = np.log(np.asarray(prior, dtype=float)) - distance / 2
        score -= score.max(axis=1, keepdims=True)
        weight = np.exp(score)
        return weight / weight.sum(axis=1, keepdims=True)


LATENTS = (
    Latent("diameter", (-0.2, 0.0, 0.2), "size", 1.0, 0.28, EVERYWHERE),
    Latent("nodularity", (-0.2, 0.0, 0.2), "outline", 0.03, 0.8, EVERYWHERE),
    Latent("t2_brightness", (-0.4, 0.0, 0.4), "mean", 0.35, 0.4, {"T2": 1.0}),
    Latent("fat_fraction", (0.3, 0.0, -0.3), "mean", 0.14, 0.7, {"OUT": -1.0}),
    Latent("plain_darkness", (-0.3, 0.0, 0.3), "mean", 0.12, 0.7, {"IN": -0.7, "S0": -1.0}),
    Latent("arterial_enhancement", (-0.6, 0.0, 0.6), "mean", 0.45, 0.5, ARTERIAL),
    Latent("washout", (-0.55, 0.0, 0.55), "mean", 0.20, 0.7, {"S3": -0.6, "S4": -1.0, "S5": -1.1}),
    Latent("arterial_rim", (-0.2, -0.2, 0.4), "capsule", 0.18, 1.0, ARTERIAL),
    Latent("necrosis", (-0.6, -0.5, 1.2), "core", 0.24, 1.0, {"T2": 1.0, "S3": -0.8, "S4": -0.9, "S5": -0.9}),
    Latent("t2_mosaic", (-1.3, 0.4, 0.9), "outer mosaic", 0.22, 1.0, {"T2": 1.0}),
    Latent("fat_ring", (1.4, -0.5, -0.9), "ring", 0.22, 1.0, {"OUT": -1.0}),
    Latent("fat_mosaic", (-0.6, 1.0, -0.5), "inner mosaic", 0.20, 1.0, {"OUT": 1.0}),
    Latent("capsule", (-1.0, 1.1, -0.2), "capsule", 0.22, 1.0, LATE),
)

HCC = ClassModel("grade", GRADES, SEQUENCES, LATENTS)
"""The liver's lesions."""

NAMES, posterior = HCC.names, HCC.posterior

BRAIN_LATENTS = (
    Latent("diameter", (-0.15, 0.15), "size", 1.0, 0.16, {"T2": 1.0}),
    Latent("nodularity", (-0.2, 0.2), "outline", 0.03, 0.8, {"T2": 1.0}),
    Latent("t2_brightness", (-0.35, 0.35), "mean", 0.40, 0.4, {"T2": 1.0}),
    Latent("rim", (-0.6, 0.6), "capsule", 0.18, 1.0, {"T2": 1.0}),
    Latent("necrosis", (-1.05, 1.05), "core", 0.30, 1.0, {"T2": 1.0}),
    Latent("lattice", (-0.9, 0.9), "coarse mosaic", 0.24, 1.0, {"T2": 1.0}),
    Latent("streaks", (-0.7, 0.7), "streaks", 0.20, 1.0, {"T2": 1.0}),
)

BRAIN = ClassModel("brain", ("healthy", "unhealthy"), ("T2",), BRAIN_LATENTS)
"""Small regions of the brain that are all drawn in, whether the tissue is healthy or not: most of the class lies in
their structure."""

INVERTED = -0.8
"""Contrast of the source cohort's regions to the brain around, relative to that of the target."""

BRAIN_SOURCE = replace(BRAIN, latents=tuple(replace(latent, weights={"T2": INVERTED}) for latent in BRAIN_LATENTS))
"""The same structures where they show up dark for bright."""


def model_of(labels: Collection[str]) -> ClassModel:
    """Return the model with these labels.

    Raises:
        EvaluationError: no model of the phantom has them.
    """
    for model in (HCC, BRAIN):
        if set(labels) <= set(model.classes):
            return model
    raise EvaluationError(
        expected=f"the classes {' or '.join(', '.join(model.classes) for model in (HCC, BRAIN))}",
        found=", ".join(labels),
    )
