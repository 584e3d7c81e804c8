"""Who is in a cohort: every patient is drawn from a random stream of its own, whatever the number of workers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from mpmri_monai.phantom.anatomies import Anatomy
from mpmri_monai.phantom.body import Body
from mpmri_monai.phantom.lesion import Lesion
from mpmri_monai.phantom.presets import Preset, Site

COHORT, HELD_OUT = 0, 1
"""Random streams: patients of the cohort, and studies that are never in it."""

HELD_OUT_LETTER = "N"

PARTS = {"anatomy": 0, "lesions": 1, "scan": 2, "noise": 3, "files": 4}

PLACES = 4000
"""Places tried for a lesion before the best one so far is taken."""


@dataclass(frozen=True)
class Patient:
    """One patient: anatomy with lesions, and the entropy for everything that happens at the scanner."""

    name: str
    site: Site
    number: int
    stream: int
    seed: int
    anatomy: Anatomy
    body: Body

    @property
    def study(self) -> str:
        """Name of the one study."""
        return f"{self.name}-1"

    def lesion_name(self, k: int) -> str:
        """Return the name of lesion ``k`` (from 0)."""
        return f"{self.name}-L{k + 1}"

    def rng(self, part: str, *index: int) -> Generator:
        """Return the random stream of one part of the patient's story."""
        return _rng(self.seed, self.stream, self.number, part, *index)


@dataclass(frozen=True)
class Plan:
    """What is decided for the cohort as a whole: hospital and the classes of the lesions of one patient."""

    number: int
    site: Site
    labels: tuple[str, ...]


def plan(preset: Preset, patients: int, seed: int) -> list[Plan]:
    """Return one plan a patient: lesions per patient by the preset, classes in its proportions, in random order.

    Classes of two lesions of one patient are independent, so the posterior of a lesion needs no look at the other one.
    """
    rng = np.random.default_rng([seed, 2])
    classes = preset.anatomy.findings.classes
    counts = np.full(patients, preset.lesions)
    counts[rng.permutation(patients)[: round(patients * preset.second_lesions / 48)]] += 1
    drawn = iter(rng.permutation(_by_share(int(counts.sum()), preset.class_weights)))
    sites = rng.permutation(_by_share(patients, [site.share for site in preset.sites]))
    return [
        Plan(k, preset.sites[sites[k]], tuple(classes[next(drawn)] for _ in range(counts[k]))) for k in range(patients)
    ]


def draw_patient(preset: Preset, plan: Plan, seed: int, stream: int = COHORT) -> Patient:
    """Draw the patient of ``plan``; equal arguments give the equal patient."""
    anatomy, model = preset.anatomy, preset.anatomy.findings
    name = f"{preset.letter if stream == COHORT else HELD_OUT_LETTER}{plan.number + 1:03d}"
    body = anatomy.draw(_rng(seed, stream, plan.number, "anatomy"), plan.site.contrast)
    rng = _rng(seed, stream, plan.number, "lesions")
    for k, label in enumerate(plan.labels):
        latents = model.draw(label, rng)
        k_size = model.names.index("diameter")
        diameter = np.clip(
            preset.diameter_mm * model.latents[k_size].amount(latents[k_size]), *preset.diameter_range_mm
        )
        axes = np.exp(np.clip(rng.normal(0, 0.08, 3), -0.15, 0.15))
        axes[2] *= preset.lesion_upright
        axes /= np.cbrt(axes.prod())
        lesion = Lesion(
            label=label,
            center=(0.0, 0.0, 0.0),
            radius=float(diameter / 2),
            axes=tuple(axes.tolist()),
            latents=tuple(latents.tolist()),
            seed=(seed, stream, plan.number, k, 77),
            model=model,
        )
        center = _place(body, lesion, anatomy, preset.lesion_height_mm, rng)
        body = replace(body, lesions=(*body.lesions, replace(lesion, center=center)))
    return Patient(name, plan.site, plan.number, stream, seed, anatomy, body)


def _place(
    body: Body, lesion: Lesion, anatomy: Anatomy, height_mm: float, rng: Generator
) -> tuple[float, float, float]:
    """Return a centre at which the lesion has room, away from other lesions: the first that fits well."""
    directions = rng.standard_normal((60, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shell = np.concatenate([directions, [[0, 0, 0]]]) * (lesion.box()[1] + anatomy.clearance_mm)
    low, high = anatomy.room_mm
    centers = rng.uniform([*low, -height_mm], [*high, height_mm], (PLACES, 3))
    best, best_share = centers[0], -1.0
    for block in np.array_split(centers, PLACES // 200):
        points = (block[:, None] + shell).reshape(-1, 3).astype(np.float32)
        inside = body.in_room((points[:, 0], points[:, 1], points[:, 2])).reshape(len(block), -1)
        share = inside.mean(axis=1)
        for other in body.lesions:
            gap = np.linalg.norm(block - np.array(other.center), axis=1)
            share[gap < lesion.box()[1].max() + other.box()[1].max() + anatomy.clearance_mm] -= 1
        k = int(np.argmax(share))
        if share[k] > best_share:
            best, best_share = block[k], float(share[k])
        if best_share == 1:
            break
    return tuple(np.round(best, 3).tolist())


def _by_share(total: int, weights: list[int] | tuple[int, ...]) -> np.ndarray:
    """Return ``total`` indices in the proportions of ``weights`` (largest remainder)."""
    exact = np.array(weights) * total / sum(weights)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return np.repeat(np.arange(len(weights)), counts)


def _rng(seed: int, stream: int, number: int, part: str, *index: int) -> Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, stream, number, PARTS[part], *index]))
