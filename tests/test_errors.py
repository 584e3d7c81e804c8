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


def test_a_file_name_that_is_a_uid_is_not_carried_on():
    error = GeometryError(
        expected="whole files", found="1.2.840.113619.2.5.1762583153.dcm cut short", where="version 1.6.1"
    )
    assert "113619" not in str(error)
    assert "<uid>.dcm cut short" in str(error)
    assert "version 1.6.1" in str(error)
