"""By which protocol and rules a new study is read."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mpmri_monai.catalogue.roles.protocol import SHIPPED
from mpmri_monai.errors import ConfigError
from mpmri_monai.inference.study import scan_options


@pytest.fixture
def own(tmp_path):
    """The file of a protocol that is none of the package's."""
    text = (SHIPPED / "brain.yaml").read_text(encoding="utf-8").replace("name: brain", "name: knee")
    (tmp_path / "knee.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "knee.yaml"


def test_a_study_is_read_by_the_protocol_of_the_training():
    assert scan_options(SimpleNamespace(protocol="brain"), "", "") == {"protocol": "brain", "site_rules": None}


def test_rules_of_the_site_are_handed_on():
    options = scan_options(SimpleNamespace(protocol="liver"), "", "rules/B.yaml")
    assert options["site_rules"] == Path("rules/B.yaml")


def test_another_protocol_is_refused(own):
    with pytest.raises(ConfigError, match=r"protocol liver.*site_rules"):
        scan_options(SimpleNamespace(protocol="liver"), own, "")


def test_a_protocol_of_one_s_own_needs_its_file(own):
    model = SimpleNamespace(protocol="knee")
    with pytest.raises(ConfigError, match="--protocol"):
        scan_options(model, "", "")
    assert scan_options(model, own, "")["protocol"] == str(own)
