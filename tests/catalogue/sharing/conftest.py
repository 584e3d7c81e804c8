"""Studies that are written and de-identified."""

import pytest

from mpmri_monai.catalogue.sharing.deidentify import deidentify


@pytest.fixture
def copied(tmp_path, make):
    """Write images, de-identify them, and return original folder, copy and what was done."""

    def write_and_copy(images, name="study", **options):
        study, out = make.write(tmp_path / name, images), tmp_path / f"{name}-out"
        return study, out, deidentify(study, out, tmp_path / "key", **{"patient": "P001", **options})

    return write_and_copy
