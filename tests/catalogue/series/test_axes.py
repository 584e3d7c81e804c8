import numpy as np
import pytest

PHASES = 3
"""Volumes of the series that these tests split."""


def phases(make, **tags):
    """Three volumes in one series; ``tags`` gives a value, or a function of (phase, slice), for each attribute."""
    images = []
    for phase in range(PHASES):
        for k in range(make.slices):
            own = {name: value(phase, k) if callable(value) else value for name, value in tags.items()}
            images.append(make.image(5, k, phase, InstanceNumber=1, **own))
    return images


def volumes_of(catalogue):
    """Phase that each slice of each volume really is, told by its pixels."""
    from mpmri_monai.catalogue import stored_pixels

    return [
        [(int(stored_pixels(header)[0, 0]) - 50 - 200 * k) // 1000 for k, header in enumerate(volume.files)]
        for volume in catalogue.volumes
    ]


def in_order(make):
    return [[phase] * make.slices for phase in range(PHASES)]


def time_of(make):
    return lambda phase, k: make.clock(36000 + 20 * phase + 0.09 * k)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ComplexImageComponent", lambda p, k: ("MAGNITUDE", "PHASE", "REAL")[p]),
        ("EchoTime", lambda p, k: 1.0 + p),
        ("EchoNumbers", lambda p, k: p + 1),
        ("DiffusionBValue", lambda p, k: 400.0 * p),
        ("TemporalPositionIdentifier", lambda p, k: p + 1),
        ("TriggerTime", lambda p, k: 5000.0 * p),
        ("AcquisitionNumber", lambda p, k: p + 1),
    ],
)
def test_each_axis_alone_splits_a_series(make, scanned, name, value):
    catalogue = scanned(phases(make, **{name: value}), "none")
    assert volumes_of(catalogue) == in_order(make)
    assert all(volume.split_by == (name,) for volume in catalogue.volumes)
    assert all(name in volume.evidence[0].value for volume in catalogue.volumes)


@pytest.mark.parametrize("name", ["AcquisitionTime", "ContentTime"])
def test_time_stamps_that_jitter_inside_a_phase_split_a_series(make, scanned, name):
    catalogue = scanned(phases(make, **{name: time_of(make)}), "none")
    assert volumes_of(catalogue) == in_order(make)
    assert {volume.split_by for volume in catalogue.volumes} == {(name,)}
    assert [volume.time_s for volume in catalogue.volumes] == [0, 20, 40]


def test_midnight_between_phases_keeps_their_order(make, scanned):
    def late(phase, k):
        return make.clock(86400 - 25 + 20 * phase)

    for extra in ({}, {"AcquisitionDate": "20240102"}):
        catalogue = scanned(phases(make, AcquisitionTime=late, **extra), "none")
        assert volumes_of(catalogue) == in_order(make)
        assert [volume.time_s for volume in catalogue.volumes] == [0, 20, 40]


def test_midnight_with_a_date_that_follows(make, scanned):
    images = phases(
        make,
        AcquisitionTime=lambda p, k: make.clock(86400 - 25 + 20 * p),
        AcquisitionDate=lambda p, k: "20240102" if p < 2 else "20240103",
    )
    catalogue = scanned(images, "none")
    assert [volume.time_s for volume in catalogue.volumes] == [0, 20, 40]


def test_rank_of_instance_numbers_is_the_last_resort(make, scanned):
    images = phases(make)
    generator = np.random.default_rng(3)
    numbers = np.sort(generator.permutation(500)[: len(images)])
    for dataset, number in zip(images, numbers, strict=True):
        dataset.InstanceNumber = int(number)
    catalogue = scanned(images, "none")
    assert volumes_of(catalogue) == in_order(make)
    assert [volume.phase for volume in catalogue.volumes] == [0, 1, 2]
    assert all("W_INORDER" in [caution.code for caution in volume.warnings] for volume in catalogue.volumes)


def test_nothing_that_separates_is_refused(make, scanned):
    catalogue = scanned(phases(make), "none")
    assert [(p.code, p.message) for p in catalogue.problems] == [
        ("E_AMBIG", "3 images at each slice position, and no attribute separates them")
    ]
    assert not catalogue.volumes


@pytest.mark.parametrize(
    "wrong",
    [
        {"TemporalPositionIdentifier": 1},
        {"TemporalPositionIdentifier": lambda p, k: 1 if (p, k) == (2, 3) else p + 1},
        {"TriggerTime": lambda p, k: 70.0 * k},
        {"EchoTime": lambda p, k: 2.0 + 0.05 * (k > 4)},
    ],
)
def test_a_tag_that_is_constant_wrong_or_varies_by_slice_is_passed_over(make, scanned, wrong):
    catalogue = scanned(phases(make, AcquisitionTime=time_of(make), **wrong), "none")
    assert volumes_of(catalogue) == in_order(make)
    assert {volume.split_by for volume in catalogue.volumes} == {("AcquisitionTime",)}


def test_axes_that_disagree_are_refused(make, scanned):
    """One of them has a slice of another phase in its volumes, and nothing tells which."""

    def swapped(phase, k):
        return make.clock(36000 + 20 * ((phase + (k == 2)) % PHASES))

    catalogue = scanned(phases(make, TemporalPositionIdentifier=lambda p, k: p + 1, AcquisitionTime=swapped), "none")
    assert not catalogue.volumes
    assert [(problem.code, problem.message) for problem in catalogue.problems] == [
        ("E_AXES", "TemporalPositionIdentifier and AcquisitionTime split this series differently")
    ]


def test_axes_that_agree_give_no_warning(make, scanned):
    catalogue = scanned(
        phases(make, TemporalPositionIdentifier=lambda p, k: p + 1, AcquisitionTime=time_of(make)), "none"
    )
    assert not any(volume.warnings for volume in catalogue.volumes)


def test_clock_against_temporal_tag_is_warned_of_and_wins(make, scanned):
    def backwards(phase, k):
        return make.clock(36000 + 20 * (PHASES - phase))

    catalogue = scanned(phases(make, TemporalPositionIdentifier=lambda p, k: p + 1, AcquisitionTime=backwards), "none")
    assert volumes_of(catalogue) == in_order(make)[::-1]
    assert {caution.code for volume in catalogue.volumes for caution in volume.warnings} == {"W_ORDER"}


def test_echo_times_time_is_split_by_both(make, scanned):
    images = [
        make.image(
            5,
            k,
            2 * time + echo,
            EchoTime=1.0 + echo,
            TemporalPositionIdentifier=time + 1,
            AcquisitionTime=make.clock(36000 + 20 * time),
        )
        for time in range(3)
        for echo in range(2)
        for k in range(make.slices)
    ]
    catalogue = scanned(images, "none")
    found = {
        (volume.echo_time_ms, volume.phase): content[0]
        for volume, content in zip(catalogue.volumes, volumes_of(catalogue), strict=True)
    }
    assert found == {(1.0 + echo, time): 2 * time + echo for time in range(3) for echo in range(2)}
    assert {volume.split_by for volume in catalogue.volumes} == {("EchoTime", "TemporalPositionIdentifier")}
    assert all(len(set(content)) == 1 for content in volumes_of(catalogue))


def test_image_type_names_the_component(make, scanned):
    images = phases(make, ImageType=lambda p, k: ["ORIGINAL", "PRIMARY", "MPR"[p]], EchoTime=2.0)
    catalogue = scanned(images, "none")
    assert [volume.component for volume in catalogue.volumes] == ["magnitude", "phase", "real"]
    assert volumes_of(catalogue) == in_order(make)


def test_vendor_b_value(make, scanned):
    images = phases(make)
    for index, dataset in enumerate(images):
        block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", str(400 * (index // make.slices)))
    catalogue = scanned(images, "none")
    assert volumes_of(catalogue) == in_order(make)
    assert {volume.split_by for volume in catalogue.volumes} == {("DiffusionBValue",)}


@pytest.mark.parametrize(("tag", "values"), [("FlipAngle", (2.0, 15.0)), ("InversionTime", (250.0, 900.0))])
def test_flip_angles_and_inversion_times_split_a_series(make, scanned, tag, values):
    """As for a map of T1; the instance numbers count position by position, and not always in one order."""
    images = []
    for k in range(make.slices):
        for volume, value in enumerate(values):
            number = 2 * k + (volume if k % 2 else 1 - volume)
            images.append(make.image(6, k, volume, **{tag: value}, InstanceNumber=number))
    catalogue = scanned(images, "none")
    assert [{getattr(header, name_of(tag)) for header in volume.files} for volume in catalogue.volumes] == [
        {value} for value in values
    ]


def name_of(tag):
    return {"FlipAngle": "flip_angle_deg", "InversionTime": "inversion_time_ms"}[tag]
