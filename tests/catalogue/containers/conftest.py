"""A cache of their own for the tests of archives, and what lies unpacked in it."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MPMRI_CACHE", str(folder))
    return folder


def unpacked(cache):
    return [path.name for path in (cache / "unpacked").iterdir() if path.name != "lock"]
