"""Background at the liver's edge, on vessels and around it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mpmri_monai.errors import ConfigError
from mpmri_monai.samples import Grid, Settings
from mpmri_monai.samples.harder_background import harder_positions
from mpmri_monai.samples.locate import lesion_positions, reference_planes
from mpmri_monai.volumes import Mask

VEIN = (np.array([-25.0, 0.0]), 5.0)
"""Where a vein runs through the planes (mm), and its radius."""
BODY_MM = 110.0


@pytest.fixture
def scene(make_geometry, make_stack, make_grid, make_ball):
    """A liver in a body with a vein across the slices, bright in S3; T2 in thick slices; one lesion."""
    rng = np.random.default_rng(4)
    stacks = {}
    for name, shape, spacing in (("T2", (90, 90, 16), (3.0, 3.0, 6.0)), ("S3", (90, 90, 40), (3.0, 3.0, 2.4))):
        geometry = make_geometry(rng, shape, spacing, 3)
        place = make_grid(geometry)
        values = np.where(np.linalg.norm(place[..., :2], axis=-1) < BODY_MM, 50.0, 1.0)
        if name == "S3":
            values[np.linalg.norm(place[..., :2] - VEIN[0], axis=-1) < VEIN[1]] = 120
        stacks[name] = make_stack((values + rng.normal(0, 0.3, values.shape)).astype(np.float32), geometry)
    geometry = make_geometry(np.random.default_rng(5), (70, 70, 40), (2.2, 2.2, 2.4), 5)
    liver = Mask((make_grid(geometry) ** 2 @ (1 / np.array([60.0, 55.0, 45.0]) ** 2)) <= 1, geometry)
    return stacks, liver, make_ball(geometry, np.array([25.0, 5.0, 0.0]), 9.0)


def place(scene, study="P1-1", **options):
    stacks, liver, lesion = scene
    settings = Settings(**options)
    lesions = {"L1": lesion_positions("L1", lesion, reference_planes(stacks), settings)}
    return harder_positions(study, lesions, {"L1": lesion}, liver, stacks, settings)


def discs(positions):
    return [position.plane.points_mm()[position.mask] for position in positions]


ALL = ("edge", "vessel", "body")


def test_the_default_wants_none(scene):
    assert place(scene) == []
    assert "background_kinds" not in Settings().model_dump(), "stores from before it was an option keep their hashes"


@pytest.mark.parametrize("seed", range(4))
def test_each_kind_lies_where_it_should_and_away_from_lesions(scene, seed):
    _, liver, lesion = scene
    found = place(scene, background_kinds=ALL, seed=seed)
    assert {position.region for position in found} == {"BG-edge-1", "BG-vessel-1", "BG-body-1"}
    assert {position.kind for position in found} == {"background"}
    tree = cKDTree(lesion.points_mm())
    for position, disc in zip(found, discs(found), strict=True):
        assert tree.query(disc)[0].min() > 10.0
        inside, centre = liver.contains(disc), position.plane.centre_mm
        if position.region == "BG-edge-1":
            assert liver.contains(centre) and 0 < inside.mean() < 1
        elif position.region == "BG-vessel-1":
            assert liver.contains(centre)
            assert np.linalg.norm(centre[:2] - VEIN[0]) < VEIN[1] + 2.5, "half a voxel, and a little for the tilt"
        else:
            assert not liver.contains(centre)
            assert np.linalg.norm(centre[:2]) < BODY_MM + 3


def test_one_kind_does_not_move_another_and_the_seed_and_the_study_decide(scene):
    def centres(**given):
        return {(p.region, p.number): p.plane.centre_mm.tolist() for p in place(scene, **given)}

    alone, among = centres(background_kinds=["edge"]), centres(background_kinds=ALL)
    assert alone == {key: centre for key, centre in among.items() if key[0] == "BG-edge-1"}
    assert alone == centres(background_kinds=["edge"])
    assert alone != centres(background_kinds=["edge"], seed=1)
    assert alone != centres(background_kinds=["edge"], study="P2-1")


def test_without_a_portal_phase_there_are_no_vessels(scene):
    stacks, liver, lesion = scene
    assert place(({"T2": stacks["T2"]}, liver, lesion), background_kinds=["vessel"]) == []


def test_kinds_are_checked():
    for wrong in (["lung"], [], ["edge", "edge"]):
        with pytest.raises(ConfigError, match="background_kinds"):
            Settings(background_kinds=wrong)
    with pytest.raises(ConfigError, match="liver"):
        Settings(grid=Grid(), background_kinds=["liver", "edge"])
    settings = Settings(background_kinds=["liver", "edge"])
    assert Settings(**settings.model_dump(mode="json")) == settings
