"""A small hospital and patients drawn from it, so that the tests of this room are fast."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpmri_monai.phantom.patients import Plan, draw_patient
from mpmri_monai.phantom.presets import PRESETS, Preset, Protocol, Site
from mpmri_monai.phantom.scanner import Scan, draw_scan


def small(site: Site) -> Site:
    """Return ``site`` with coarse matrices and few slices."""

    def coarse(protocol: Protocol) -> Protocol:
        return replace(
            protocol,
            columns=48,
            rows=40,
            slices=max(protocol.slices // 3, 6),
            pixel_mm=5.0,
        )

    dual, dce = (protocol and coarse(protocol) for protocol in (site.dual, site.dce))
    return replace(site, t2=coarse(site.t2), dual=dual, dce=dce)


@pytest.fixture(scope="session")
def quick() -> Preset:
    """The quick preset with small matrices."""
    preset = PRESETS["quick"]
    return replace(preset, sites=tuple(small(site) for site in preset.sites))


@pytest.fixture(scope="session")
def sites() -> Preset:
    """The three hospitals with small matrices."""
    preset = PRESETS["sites"]
    return replace(preset, sites=tuple(small(site) for site in preset.sites))


@pytest.fixture(scope="session")
def brain() -> Preset:
    """The brain preset with a coarse matrix that still shows its regions."""
    preset = PRESETS["brain"]
    site = preset.sites[0]
    return replace(preset, sites=(replace(site, t2=replace(site.t2, columns=72, rows=90, pixel_mm=2.4)),))


@pytest.fixture(scope="session")
def source() -> Preset:
    """The unlabelled brains with small matrices."""
    preset = PRESETS["brain-source"]
    return replace(preset, lesions=2, sites=tuple(small(site) for site in preset.sites))


@pytest.fixture(scope="session")
def scan(quick: Preset) -> Scan:
    """One examination of a patient with two lesions."""
    return draw_scan(draw_patient(quick, Plan(0, quick.sites[0], ("well", "poorly")), seed=3))
