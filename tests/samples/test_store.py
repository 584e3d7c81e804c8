import numpy as np
import pytest

from mpmri_monai.errors import StoreError
from mpmri_monai.samples import Settings, prepare, sample_study
from mpmri_monai.samples.store import read_record, study_file


@pytest.fixture
def store(cohort, tmp_path):
    return prepare(cohort, Settings(), tmp_path / "cache", progress=False)


@pytest.fixture
def samples(cohort):
    return [s for study in cohort.studies for s in sample_study(study, cohort.folder, Settings(), cohort.sequences)]


def test_table_has_a_row_a_sample(store, samples, cohort):
    table = store.table
    expected = ["patient", "study", "site", "lesion", "sample", "kind", "extent_mm", "pitch_mm", "x_mm", "y_mm", "z_mm"]
    expected += ["label_grade"]
    for column in ("present", "offset", "signal", "level"):
        expected += [f"{column}_{sequence}" for sequence in cohort.sequences]
    assert list(table) == [*expected, "flags"]
    assert len(table) == len(samples)
    assert not table[["study", "sample"]].duplicated().any()
    for row, sample in zip(table.itertuples(), samples, strict=True):
        assert (row.study, row.sample, row.kind) == (sample.study, sample.sample, sample.kind)
        assert row.label_grade == sample.labels.get("grade", "")
        assert (row.x_mm, row.y_mm, row.z_mm) == tuple(sample.position_mm)
        assert [row.present_T2, row.present_IN] == [True, False]
        assert row.signal_S3 == sample.signal[4]
        assert np.isnan(row.signal_IN) and np.isnan(row.level_IN) and np.isnan(row.offset_IN)


def test_images_by_row_and_fusion(store, samples):
    rows = [len(samples) - 1, 0, 5, 0]
    images = store.images(rows, ("S3", "T2"))
    assert images.shape == (4, 2, 52, 52) and images.dtype == np.float32
    for image, row in zip(images, rows, strict=True):
        np.testing.assert_array_equal(image, samples[row].image[[4, 0]])
    np.testing.assert_array_equal(store.images(range(len(samples))), [sample.image for sample in samples])
    np.testing.assert_array_equal(store.masks(rows), [samples[row].mask for row in rows])
    assert store.bytes_for(rows, ("S3", "T2")) == images.nbytes
    assert store.images([], ("T2",)).shape == (0, 1, 52, 52)


def test_unknown_sequence(store):
    with pytest.raises(StoreError, match="S5"):
        store.images([0], ("T2", "S5"))


def test_damaged_file_is_named(store):
    path = study_file(store.folder, "P1-1")
    path.write_bytes(path.read_bytes()[:-2000])
    row = int(np.flatnonzero(store.table["study"] == "P1-1")[0])
    with pytest.raises(StoreError, match="P1-1"):
        store.images([row])


def test_samples_of_a_later_build_are_not_taken_for_those_of_the_table(store, cohort):
    """Another manifest of the same name shares the folder, and may build it anew while a store is open."""
    assert store.images([0]).shape[0] == 1
    study_file(store.folder, "P1-1").replace(study_file(store.folder, "P0-1"))
    with pytest.raises(StoreError, match="built anew"):
        store.images([0])
    with pytest.raises(StoreError, match="built anew"):
        store.masks([0])


def test_record_of_another_key_is_not_read(store):
    path = study_file(store.folder, "P1-1")
    assert read_record(path, "another key") is None
    assert read_record(path.with_name("none.npz"), "key") is None


def test_record_names_the_voxels_it_was_made_from(store, cohort, samples):
    import json

    with np.load(study_file(store.folder, "P0-1"), allow_pickle=False) as arrays:
        record = json.loads(str(arrays["record"]))
    assert record["voxels"] == samples[0].voxels
    assert set(record["voxels"]) == {"T2", "OUT", "S0", "S3"}


@pytest.mark.parametrize("content", [b"", b"PK", b"no samples", "null", "[]"])
def test_a_file_that_is_none_is_built_again(store, cohort, tmp_path, content):
    path = study_file(store.folder, "P1-1")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, record=np.array(content))
    assert read_record(path, "key") is None
    with pytest.raises(StoreError, match="P1-1"):
        store.images(range(len(store.table)))
    again = prepare(cohort, Settings(), tmp_path / "cache", progress=False)
    assert again.digest() == store.digest()
