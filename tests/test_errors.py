import pickle

from mpmri_monai.errors import GeometryError, MpmriError


def test_message_says_all_that_is_known():
    error = GeometryError(expected="8 slices", found="7", where="series 4", fix="export it again", code="E_MISSING")
    assert str(error) == "E_MISSING: series 4: expected 8 slices; found 7. What to do: export it again"


def test_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(GeometryError(expected="a", found="b", where="c")))
    assert isinstance(error, GeometryError)
    assert isinstance(error, MpmriError)
    assert str(error) == "c: expected a; found b"
