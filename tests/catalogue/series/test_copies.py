"""Volumes that are there twice."""

import copy


def again(images, series):
    """The same images as a PACS returns them from another archive: new identifiers, same pixels."""
    copies = []
    for dataset in images:
        one = copy.deepcopy(dataset)
        one.SeriesNumber, one.SeriesInstanceUID = series, f"2.25.88{series}"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SOPInstanceUID}.{series}"
        copies.append(one)
    return copies


def test_phases_one_series_each_and_all_in_one(make, scanned):
    images = make.liver(one_series=False)
    joint = again([dataset for dataset in images if dataset.SeriesNumber >= 10], 40)
    for dataset in joint:
        dataset.InstanceNumber = int(dataset.PixelData[0]) * 100 + dataset.InstanceNumber
    catalogue = scanned([*images, *joint])
    assert catalogue.ok
    assert [catalogue.volume(catalogue.roles[f"S{phase}"]).series_number for phase in range(6)] == list(range(10, 16))
    copies = [volume for volume in catalogue.volumes if volume.series_number == 40]
    assert len(copies) == 6 and all(volume.warnings[-1].code == "W_DUP" for volume in copies)


def test_a_series_that_was_sent_twice(make, scanned):
    images = make.liver()
    catalogue = scanned([*images, *again([dataset for dataset in images if dataset.SeriesNumber == 3], 103)])
    assert catalogue.ok and catalogue.volume(catalogue.roles["T2"]).series_number == 3


def test_one_other_pixel_makes_a_rival(make, scanned):
    images = make.liver()
    other = again([dataset for dataset in images if dataset.SeriesNumber == 3], 103)
    other[0].PixelData = b"\1" + other[0].PixelData[1:]
    assert [problem.code for problem in scanned([*images, *other]).problems] == ["E_ROLE"]
