"""One generated study in the forms that hospitals keep studies in, and the bundle that ships to ask about it."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from mpmri_monai.artefacts import CACHE_VARIABLE
from mpmri_monai.catalogue import scan
from mpmri_monai.inference import TrainedModel, infer, infer_command
from mpmri_monai.inference.infer import Reader
from mpmri_monai.inference.question import Question
from mpmri_monai.phantom import write_cohort
from mpmri_monai.phantom.study import write_study
from mpmri_monai.volumes import read_nifti, read_volume

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@pytest.fixture(scope="session")
def bundle():
    return BUNDLE


@pytest.fixture(scope="session")
def model():
    return TrainedModel(BUNDLE / "models", BUNDLE)


@pytest.fixture
def reader(model, monkeypatch):
    """Answers with one thread: two wait for each other where other programs run."""
    monkeypatch.setattr(infer, "THREADS", 1)
    return Reader.of(model, "cpu")


@pytest.fixture(scope="session")
def dicom(tmp_path_factory):
    """A study as the scanner gives it."""
    return write_study(tmp_path_factory.mktemp("study") / "s", "quick", number=1)


@pytest.fixture(scope="session")
def nifti(dicom, tmp_path_factory):
    """Folder with the same images as NIfTI files named by their sequences."""
    folder = tmp_path_factory.mktemp("nifti")
    catalogue = scan(dicom.dicom)
    for name, volume in catalogue.roles.items():
        stack = read_volume(catalogue.volume(volume))
        image = nibabel.Nifti1Image(stack.volume()[0].numpy(), stack.geometry.affine)
        nibabel.save(image, folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def archive(dicom, tmp_path_factory):
    """The same study as a zip file."""
    return Path(shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "study"), "zip", dicom.dicom))


@pytest.fixture(scope="session")
def place(dicom):
    """Where the study's lesion is: centre in RAS+ mm and its largest extent in mm."""
    stack = read_nifti(dicom.lesion_mask)
    points = stack.geometry.to_mm(np.argwhere(stack.stored == 1)[:, ::-1])
    low, high = points.min(axis=0), points.max(axis=0)
    return SimpleNamespace(center_mm=tuple(map(float, (low + high) / 2)), size_mm=float(np.ptp(points, axis=0).max()))


@pytest.fixture(scope="session")
def question(dicom):
    return Question(study=str(dicom.dicom), lesion_mask=str(dicom.lesion_mask))


@pytest.fixture
def trusted(monkeypatch):
    """Bundles are not inspected: that is another test's matter."""
    monkeypatch.setattr(infer_command, "refuse_unsafe", lambda folder, accepted=(): None)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory):
    """Manifest of 15 generated patients of another hospital, who are in no other cohort."""
    folder = tmp_path_factory.mktemp("hospital") / "c"
    return write_cohort(folder, "quick", patients=15, seed=23, workers=2, progress=False)


@pytest.fixture(scope="session")
def hospital_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def with_cache(hospital_cache, monkeypatch):
    """Samples are stored in the cache of these tests."""
    monkeypatch.setenv(CACHE_VARIABLE, str(hospital_cache))


@pytest.fixture
def shipped(bundle):
    """The bundle for grades, as it ships."""
    return bundle
