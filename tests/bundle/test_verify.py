"""Every check of a bundle, on the bundles that ship and on copies with one damage each."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from mpmri_monai import artefacts
from mpmri_monai.bundle import verify as module
from mpmri_monai.bundle.adopt import write_contents
from mpmri_monai.bundle.pack import pack
from mpmri_monai.bundle.selftest import Comparison
from mpmri_monai.bundle.verify import FAIL, NO_MATTER, NOT_DONE, PASS, verify, verify_command
from mpmri_monai.networks import PatchAutoencoder, save_state

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """The self-test has tests of its own."""
    monkeypatch.setenv(artefacts.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(module, "selftest", lambda *given: Comparison({"L1": {"a": 1.0}}, {"L1": {"a": 1.0}}, 1e-4))


@pytest.fixture
def bundle(tmp_path):
    return copied("hcc_grade", tmp_path)


def copied(name, folder):
    shutil.copytree(BUNDLES / name, folder / name)
    write_contents(folder / name)
    return folder / name


def outcomes(bundle, wanted=None):
    return {check.name: check.outcome for check in verify(bundle) if wanted in (None, check.outcome)}


@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()))
def test_the_bundles_that_ship_pass_whatever_applies_to_them(name, tmp_path):
    found = verify(copied(name, tmp_path))
    assert not [check for check in found if check.outcome not in (PASS, NO_MATTER)]
    has = {
        "weights": any((BUNDLES / name / "models").glob("*.pt")),
        "preprocessing": (BUNDLES / name / "configs" / "inference.json").is_file(),
        "self-test": (BUNDLES / name / "selftest").is_dir(),
    }
    assert {check.name: check.outcome == PASS for check in found if check.name in has} == has
    assert all(check.found for check in found)


def edited(path, change):
    """A damage that changes a JSON file of the bundle in place."""

    def damage(bundle):
        content = artefacts.read_json(bundle / path)
        change(content)
        (bundle / path).write_text(json.dumps(content))

    return damage


METADATA, TRAIN, INFERENCE = (f"configs/{name}.json" for name in ("metadata", "train", "inference"))
REFERENCE = "models/reference.json"


def resave(change):
    """A damage of the weights that their record goes along with."""

    def damage(bundle):
        path = bundle / "models" / "model.pt"
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)
        edited(REFERENCE, lambda c: c.update(weights_sha256=artefacts.file_digest(path)))(bundle)

    return damage


def spoil(state):
    next(iter(state.values())).fill_(float("nan"))


@pytest.mark.parametrize(
    ("damage", "failing", "found"),
    [
        (lambda b: (b / "LICENSE").unlink(), "structure", "no LICENSE"),
        (lambda b: (b / "docs" / "README.md").unlink(), "structure", "README.md"),
        (lambda b: (b / METADATA).write_text("{"), "structure", "no JSON in configs/metadata.json"),
        (lambda b: (b / "docs" / "link").symlink_to("/etc/passwd"), "structure", "docs/link"),
        (edited(METADATA, lambda c: (c.pop("task"), c.pop("authors"))), "metadata", "(?s)authors.*task"),
        (edited(METADATA, lambda c: c.update(version="9.9.9")), "metadata", "nothing of version 9.9.9"),
        (edited(METADATA, lambda c: c.pop("license")), "terms", "no license"),
        (edited(METADATA, lambda c: c.update(intended_use=" ")), "terms", "no intended_use"),
        (edited(METADATA, lambda c: c["required_packages_version"].update(none="1")), "versions", "none is not"),
        (edited(METADATA, lambda c: c.update(monai_version="0.9.0")), "versions", r"monai 1\S* \(bundle: 0.9.0\)"),
        (edited(TRAIN, lambda c: (c.pop("device"), c["train"].pop("inferer"))), "keys", "(?s)device.*train#inferer"),
        (edited(INFERENCE, lambda c: c.pop("evaluator")), "keys", "inference.json: .*evaluator"),
        (edited(INFERENCE, lambda c: c.pop("run")), "keys", "inference.json: run"),
        (edited(TRAIN, lambda c: c["optimizer"].update(depth="@finetune_dept")), "references", "optimizer#depth.*dept"),
        (edited(METADATA, lambda c: swap(c, "inputs", "image")), "channels", "OUT"),
        (edited(METADATA, lambda c: swap(c, "outputs", "pred")), "channels", "well"),
        (edited(METADATA, lambda c: spec(c)["channel_def"].pop("2")), "channels", "2 described"),
        (edited(TRAIN, lambda c: c.update(fusion="OUT-T2-S4")), "channels", "OUT-T2-S4"),
        (edited(TRAIN, lambda c: c["samples"].update(trim=0.02)), "preprocessing", "trim: 0.02 and 0.01"),
        (edited(TRAIN, lambda c: c["samples"].update(pixels=40)), "preprocessing", "pixels: 40 and 32"),
        (edited(INFERENCE, lambda c: c["preprocessing"].update(_target_="builtins.list")), "preprocessing", "list"),
        (edited(TRAIN, lambda c: c["validate"].update(preprocessing="@dataset_dir")), "preprocessing", "None"),
        (edited(TRAIN, lambda c: c["train"].update(preprocessing="@train#preprocessing")), "preprocessing", "None"),
        (edited(METADATA, lambda c: spec(c).update(spatial_shape=[2])), "network", "network_def"),
        (edited(METADATA, lambda c: spec(c).update(spatial_shape=["8*n", "8*n"])), "network", "8"),
        (edited(METADATA, lambda c: spec(c, "outputs", "pred").update(dtype="float64")), "network", "torch.float32"),
        (edited(TRAIN, lambda c: c.update(embedding=0)), "network", ""),
        (edited(REFERENCE, lambda c: c.update(weights_sha256="0" * 64)), "weights", "others"),
        (edited(REFERENCE, lambda c: c["network"].update(embedding=16)), "weights", "another shape"),
        (edited(REFERENCE, lambda c: c["network"].update(embedding=10**12)), "weights", "MiB"),
        (edited(REFERENCE, lambda c: c["network"].update(embedding=10**12)), "network", "MiB"),
        (edited(REFERENCE, lambda c: c["network"].update(wings=2)), "weights", "wings"),
        (lambda b: (b / "models" / "pretrained.json").unlink(), "weights", "pretrained.pt: none"),
        (lambda b: (b / "models" / "model.pt").write_bytes(b"x"), "weights", "others"),
        (resave(lambda s: s.popitem()), "weights", "1 missing"),
        (resave(lambda s: s.update(more=torch.ones(1))), "weights", "1 unexpected"),
        (resave(spoil), "weights", "NaN"),
    ],
)  # fmt: skip
def test_a_damage_fails_its_check_and_says_what_is_wrong(bundle, damage, failing, found):
    damage(bundle)
    if failing != "structure":
        write_contents(bundle)
    failed = {check.name: check for check in verify(bundle) if check.outcome == FAIL}
    assert failing in failed
    assert re.search(found, failed[failing].found), failed[failing].found


def spec(content, side="inputs", name="image"):
    return content["network_data_format"][side][name]


def swap(content, side, name):
    channels = spec(content, side, name)["channel_def"]
    channels["0"], channels["1"] = channels["1"], channels["0"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda b: (b / "LICENSE").write_text("sold"), "changed: LICENSE"),
        (lambda b: (b / "docs" / "data_license.txt").unlink(), "missing: docs/data_license.txt"),
        (lambda b: (b / "docs" / "more.txt").write_text("x"), "not listed: docs/more.txt"),
    ],
)
def test_a_file_that_is_not_as_listed_fails_the_contents_alone(bundle, change, found):
    change(bundle)
    (failed,) = (check for check in verify(bundle) if check.outcome == FAIL)
    assert failed.name == "contents" and found in failed.found and "mpmri bundle contents" in failed.fix


def test_what_is_not_safe_is_not_run_and_not_verified(bundle, tmp_path, capsys):
    edited(TRAIN, lambda c: c.update(network_def=f"$open('{tmp_path}/ran', 'w')"))(bundle)
    write_contents(bundle)
    found = outcomes(bundle)
    assert found["safety"] == FAIL and found["network"] == found["self-test"] == NOT_DONE
    assert found["weights"] == PASS
    assert not (tmp_path / "ran").exists()
    assert verify_command(bundle) == 1
    assert "Not verified: safety, network, self-test" in capsys.readouterr().out


def test_a_packed_bundle_is_verified_as_its_folder(bundle, tmp_path, capsys):
    pack(bundle, tmp_path / "b.zip")
    assert verify_command(tmp_path / "b.zip") == 0
    assert "Verified" in capsys.readouterr().out
    (bundle / "LICENSE").write_text("sold")
    assert verify_command(bundle) == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_changed_within_the_packed_one_is_noticed(bundle, tmp_path):
    pack(bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as old, zipfile.ZipFile(tmp_path / "c.zip", "w") as new:
        for member in old.infolist():
            new.writestr(member, b"sold" if member.filename.endswith("LICENSE") else old.read(member))
    assert verify_command(tmp_path / "c.zip") == 1


def test_an_encoder_is_checked_against_its_autoencoder(tmp_path):
    bundle = copied("mctl_brain", tmp_path)
    arguments = {"in_channels": 1, "size": [4, 25, 25], "layers": 2, "filters": 4, "masked": 0.0}
    state = PatchAutoencoder(**arguments).encoder_state()
    for name, part, outcome in (("whole", state, PASS), ("part", dict(list(state.items())[1:]), FAIL)):
        save_state(part, bundle / "models" / "pretrained.pt")
        digest = artefacts.file_digest(bundle / "models" / "pretrained.pt")
        record = {"network": arguments, "trained_on": {}, "weights_sha256": digest}
        artefacts.write_json(bundle / "models" / "pretrained.json", record)
        write_contents(bundle)
        assert outcomes(bundle)["weights"] == outcome, name


def test_relative_references_are_followed_and_null_is_a_value(bundle):
    def change(config):
        config["some"] = {"value": None, "near": "@#value", "group": {"far": "$@##value or @seed"}}

    edited(TRAIN, change)(bundle)
    assert "references" in outcomes(bundle, PASS)
    edited(TRAIN, lambda c: c["some"]["group"].update(far="@#value"))(bundle)
    (lost,) = (check for check in verify(bundle) if check.name == "references")
    assert lost.outcome == FAIL and "some#group#far: @some#group#value" in lost.found


def test_an_empty_folder_is_no_bundle(tmp_path):
    (check,) = verify(tmp_path)
    assert check.outcome == FAIL and "configs/metadata.json" in check.found
