import numpy as np
import pytest
from scipy.spatial import cKDTree

from mpmri_monai.samples import Grid, Settings
from mpmri_monai.samples.background import background_balls, background_positions
from mpmri_monai.samples.grid import lesion_position
from mpmri_monai.samples.locate import lesion_positions
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.volumes import Mask


@pytest.fixture
def scene(make_geometry, make_grid, make_ball):
    """An ellipsoid liver with one lesion, drawn on an oblique grid, and reference slices oblique to it."""
    geometry = make_geometry(np.random.default_rng(1), (64, 64, 40), (2.5, 2.5, 3.0), 15)
    liver = Mask((make_grid(geometry) ** 2 @ (1 / np.array([70.0, 60.0, 50.0]) ** 2)) <= 1, geometry)
    lesion = make_ball(geometry, np.array([30.0, 0, 0]), 10.0)
    planes = ParallelPlanes.of(make_geometry(np.random.default_rng(2), (80, 80, 22), (2.0, 2.0, 6.0), 15))
    return liver, lesion, planes


def place(liver, lesions, planes, settings=None, study="P1-1"):
    settings = settings or Settings()
    positions = {name: lesion_positions(name, mask, [planes], settings) for name, mask in lesions.items()}
    return positions, background_positions(study, positions, lesions, liver, [planes], settings)


def test_as_many_and_as_large_as_the_lesion(scene):
    liver, lesion, planes = scene
    lesions, background = place(liver, {"L1": lesion}, planes)
    assert [p.region for p in background] == ["BG-1"] * len(lesions["L1"])
    assert [p.number for p in background] == [p.number for p in lesions["L1"]]
    assert {p.plane.pitch_mm for p in background} == {lesions["L1"][0].plane.pitch_mm}
    heights = np.array([p.plane.centre_mm @ planes.normal for p in background])
    np.testing.assert_allclose(np.diff(heights), 6.0)
    assert np.abs(heights[:, None] - planes.offsets_mm).min(axis=1).max() < 1e-9, "on slices of the reference"


@pytest.mark.parametrize("seed", range(5))
def test_whole_disc_in_the_liver_and_away_from_lesions(scene, seed):
    liver, lesion, planes = scene
    _, background = place(liver, {"L1": lesion, "L2": lesion}, planes, Settings(seed=seed))
    assert len(background) > 4
    tree = cKDTree(lesion.points_mm())
    for position in background:
        disc = position.plane.points_mm()[position.mask]
        assert liver.contains(disc).all()
        assert tree.query(disc)[0].min() > 10.0
    first, second = ([p for p in background if p.region == name] for name in ("BG-1", "BG-2"))
    for one in first:
        for other in second:
            gap = one.plane.centre_mm - other.plane.centre_mm
            if abs(gap @ planes.normal) < 1:
                assert np.linalg.norm(gap) > one.extent_mm - 2.1, "regions do not lie on top of each other"


@pytest.mark.parametrize(("margin", "radius"), [(0.0, 18.0), (10.0, 8.0)])
def test_no_lesion_in_the_box_and_none_nearer_to_the_disc_than_the_margin(
    scene, make_geometry, make_ball, margin, radius
):
    liver, _, planes = scene
    finer = make_geometry(np.random.default_rng(3), (50, 50, 50), (1, 1, 1), 15)
    lesion = make_ball(finer, np.zeros(3), radius)
    room = make_ball(liver.geometry, np.zeros(3), margin + 3 * radius + 8)  # so little that discs lie at the limits
    tree = cKDTree(lesion.points_mm())
    for seed in range(30):
        settings = Settings(background_margin_mm=margin, seed=seed)
        edge = (settings.stored_pixels - settings.pixels) // 2
        for position in place(room, {"L1": lesion}, planes, settings)[1]:
            points = position.plane.points_mm()
            assert not lesion.contains(points[edge:-edge, edge:-edge]).any()
            assert tree.query(points[position.mask])[0].min() >= margin + 0.5, "half a voxel"


def test_seed_and_study_alone_decide(scene):
    liver, lesion, planes = scene

    def centres(**options):
        study = options.pop("study", "P1-1")
        return np.array(
            [p.plane.centre_mm for p in place(liver, {"L1": lesion}, planes, Settings(**options), study)[1]]
        )

    np.testing.assert_array_equal(centres(), centres())
    assert not np.array_equal(centres(), centres(seed=1))
    assert not np.array_equal(centres(), centres(study="P2-1"))


def test_fewer_where_there_is_no_room(scene, make_grid):
    liver, lesion, planes = scene
    height = make_grid(liver.geometry) @ planes.normal
    layer = planes.offsets_mm[11]
    thin = Mask(liver.voxels & (np.abs(height - layer) < 4), liver.geometry)
    lesions, background = place(thin, {"L1": lesion}, planes)
    assert 0 < len(background) < len(lesions["L1"])
    everywhere = Settings(background_margin_mm=100)
    assert place(liver, {"L1": lesion}, planes, everywhere)[1] == []


def test_no_reference_slice_in_the_liver(scene):
    liver, lesion, planes = scene
    away = ParallelPlanes(planes.row_direction, planes.column_direction, planes.normal, np.array([900.0, 906.0]), 6.0)
    positions = {"L1": lesion_positions("L1", lesion, [planes], Settings())}
    assert background_positions("P1", positions, {"L1": lesion}, liver, [away], Settings()) == []


def test_without_reference_planes_follow_the_liver_mask(scene):
    liver, lesion, _ = scene
    positions = {"L1": lesion_positions("L1", lesion, [], Settings())}
    background = background_positions("P1", positions, {"L1": lesion}, liver, [], Settings())
    assert len(background) == len(positions["L1"])
    assert all(liver.contains(p.plane.points_mm()[p.mask]).all() for p in background)


GRID = Grid(slices=4, pixels=16, depth_mm=6.0, plane_mm=1.5)


def place_balls(liver, lesions, planes, settings=None):
    settings = settings or Settings(grid=GRID)
    planes = planes.canonical()
    positions = {
        name: lesion_position(name, mask, planes, settings.grid, settings.stored_shape)
        for name, mask in lesions.items()
    }
    return background_balls("P1-1", positions, lesions, liver, planes, settings, settings.grid)


@pytest.mark.parametrize("seed", range(3))
def test_balls_lie_in_the_organ_away_from_lesions_and_each_other(scene, seed):
    liver, lesion, planes = scene
    balls = place_balls(liver, {"L1": lesion, "L2": lesion}, planes, Settings(grid=GRID, seed=seed))
    assert [(ball.region, ball.kind, ball.number) for ball in balls] == [
        ("BG-1", "background", 0),
        ("BG-2", "background", 0),
    ]
    tree = cKDTree(lesion.points_mm())
    for ball in balls:
        assert ball.extent_mm == pytest.approx(20, abs=6)
        inside = ball.plane.points_mm()[ball.mask]
        assert np.linalg.norm(inside - ball.plane.centre_mm, axis=1).max() <= ball.extent_mm / 2
        assert liver.contains(inside).all()
        assert tree.query(inside)[0].min() > 10.0
        height = ball.plane.points_mm()[0, 0, 0] @ planes.normal
        assert np.abs(height - planes.offsets_mm).min() < 1e-6, "on slices of the reference"
        margin = [(stored - seen) // 2 for stored, seen in zip(ball.mask.shape, (4, 16, 16), strict=True)]
        seen = ball.plane.points_mm()[tuple(slice(edge, -edge) for edge in margin)]
        assert not lesion.contains(seen).any()
    first, second = (ball.plane.centre_mm for ball in balls)
    assert np.linalg.norm(first - second) > (balls[0].extent_mm + balls[1].extent_mm) / 2


def test_no_ball_where_there_is_no_room(scene):
    liver, lesion, planes = scene
    assert place_balls(liver, {"L1": lesion}, planes, Settings(grid=GRID, background_margin_mm=100)) == []
    assert place_balls(liver, {}, planes) == []
