import errno
import os
import re
import stat
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, MRImageStorage

from mpmri_monai.catalogue.sharing.pseudonyms import MOST_DAYS, MOST_SECONDS, Pseudonyms, read_or_create_key
from mpmri_monai.errors import ConfigError, OutputError

KEY = bytes(range(32))
P1 = Pseudonyms(KEY, "P1")
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
PATIENTS = st.text("ABC0123456789", min_size=1, max_size=8)


def test_uids_are_valid_keyed_and_the_same_for_every_patient():
    one = P1.uid("1.2.3.4")
    assert UID(one).is_valid
    assert re.fullmatch(r"2\.25\.\d{20,39}", one)
    assert one == Pseudonyms(KEY, "P2").uid("1.2.3.4")
    assert one != Pseudonyms(b"other", "P1").uid("1.2.3.4")
    assert one != P1.uid("1.2.3.5")


def test_uids_of_the_standard_stay():
    assert P1.uid(MRImageStorage) == MRImageStorage
    assert P1.uid("") == ""


@given(PATIENTS)
def test_offset_is_one_for_a_patient_and_bounded(patient):
    offset = Pseudonyms(KEY, patient).offset
    assert offset == Pseudonyms(KEY, patient).offset
    assert -timedelta(days=MOST_DAYS, seconds=MOST_SECONDS) <= offset <= timedelta(days=-1, seconds=MOST_SECONDS)
    assert offset.microseconds == 0


def test_patients_have_different_offsets():
    assert len({Pseudonyms(KEY, f"P{number}").offset for number in range(50)}) == 50


@given(PATIENTS, MOMENTS, st.integers(0, 3 * 86400))
def test_what_lies_between_two_moments_does_not_change(patient, moment, seconds):
    pseudonyms = Pseudonyms(KEY, patient)
    later = moment + timedelta(seconds=seconds)
    moved = [pseudonyms.day_and_time(f"{one:%Y%m%d}", f"{one:%H%M%S}.25") for one in (moment, later)]
    first, second = (datetime.strptime(f"{day}{time}", "%Y%m%d%H%M%S.25") for day, time in moved)
    assert second - first == later - moment
    assert first - moment == pseudonyms.offset


@given(PATIENTS, MOMENTS)
def test_the_three_spellings_of_a_moment_agree(patient, moment):
    pseudonyms = Pseudonyms(KEY, patient)
    day, time = pseudonyms.day_and_time(f"{moment:%Y%m%d}", f"{moment:%H%M%S}.5")
    assert pseudonyms.day_and_time(f"{moment:%Y.%m.%d}", f"{moment:%H:%M:%S}.5") == (day, time)
    assert pseudonyms.date_time(f"{moment:%Y%m%d%H%M%S}.5+0100") == day + time
    assert pseudonyms.day_and_time("", f"{moment:%H%M%S}.5") == ("", time)


@pytest.mark.parametrize("day", ["", "2024", "Li Wei", "20241341", "00000101"])
@pytest.mark.parametrize("time", ["", "1", "Wang", "101112 Wang", "101112.Wang"])
def test_what_is_no_time_comes_back_empty(day, time):
    assert P1.day_and_time(day, time) == ("", "")
    assert P1.date_time(day + time) == ""


def test_key_is_made_once_for_its_owner_only(tmp_path):
    path = tmp_path / "folder" / "key"
    key = read_or_create_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_create_key(path) == key
    assert read_or_create_key(tmp_path / "another") != key


@pytest.mark.parametrize("content", [b"", b"secret", b"00ff", b"\xff\xfe", b"zz" * 32])
def test_a_file_that_holds_no_key_is_refused_and_left(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="E_KEY"):
        read_or_create_key(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((OutputError, ConfigError)):
        read_or_create_key(tmp_path / "file" / "key")


def test_a_key_that_cannot_be_written_whole_is_not_left(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OutputError, match="no space"):
        read_or_create_key(tmp_path / "key")
    assert not list(tmp_path.iterdir())
