"""The inspection of bundles from elsewhere: what passes, what it tells, and that no input breaks it."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mpmri_monai.bundle.inspect import inspect_bundle, refuse_unsafe
from mpmri_monai.bundle.inspect_allowed import ACCESS, CALLABLES, CONSTANTS, ONLY_KEYWORDS, SHORT_NAMES, WRITES_TO
from mpmri_monai.bundle.inspect_expression import judge_expression
from mpmri_monai.bundle.inspect_finding import REASONS
from mpmri_monai.bundle.inspect_logging import judge_logging
from mpmri_monai.bundle.inspect_names import Names
from mpmri_monai.bundle.inspect_text import judge_free_text, judge_text
from mpmri_monai.bundle.inspect_weights import judge_pickle
from mpmri_monai.cli_bundle import bundle_app
from mpmri_monai.errors import BundleError, ConfigError

REPOSITORY = Path(__file__).parents[2]
OWN = sorted(path.parent.parent.name for path in (REPOSITORY / "bundles").glob("*/configs/metadata.json"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small harmless bundle."""
    folder = tmp_path / "foreign"
    (folder / "configs").mkdir(parents=True)
    config = {
        "imports": ["$import mpmri_monai.bundle as mpmri"],
        "loss": {"_target_": "torch.nn.MSELoss"},
        "training": ["$mpmri.seed_everything(3)"],
    }
    (folder / "configs" / "train.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def unsafe(bundle: Path) -> Path:
    (bundle / "configs" / "site.json").write_text(json.dumps({"data": "/etc/[red]passwd", "run": "$eval('1')"}))
    return bundle


def _resolved(name: str) -> object:
    """The object of a dotted name, by the longest module that it starts with."""
    steps = name.split(".")
    for length in range(len(steps), 0, -1):
        try:
            found = import_module(".".join(steps[:length]))
        except ModuleNotFoundError:
            continue
        for step in steps[length:]:
            found = getattr(found, step)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("name", OWN)
def test_own_bundles_hold_no_danger(name):
    assert inspect_bundle(REPOSITORY / "bundles" / name).dangers() == ()


def test_five_own_bundles():
    assert {"hcc_detection", "hcc_grade", "mctl_autoencoder", "mctl_brain", "natural_pretrain"} <= set(OWN)


def test_every_listed_name_exists():
    assert all(callable(_resolved(name)) for name in CALLABLES)
    assert not any(callable(_resolved(name)) and name.startswith("mpmri") for name in CONSTANTS)


def test_conditions_and_notes_are_about_listed_names():
    assert ONLY_KEYWORDS.keys() | WRITES_TO.keys() | ACCESS.keys() <= CALLABLES


@pytest.mark.parametrize("name", sorted(WRITES_TO))
def test_place_that_is_written_is_the_argument_that_is_watched(name):
    import inspect

    argument, position = WRITES_TO[name]
    assert list(inspect.signature(_resolved(name)).parameters).index(argument) == position


def test_short_names_are_listed_callables_of_monai():
    assert {name.rpartition(".")[2] for name in CALLABLES if name.startswith("monai.")} == SHORT_NAMES.keys()


def test_harmless_bundle_is_safe_and_says_what_it_uses(bundle):
    inspection = inspect_bundle(bundle)
    assert inspection.safe
    assert inspection.targets == ("torch.nn.MSELoss",)
    assert inspection.imports == ("mpmri_monai.bundle",)
    assert inspection.calls == ("mpmri_monai.bundle.seed_everything",)


def test_refusal_names_the_findings(unsafe):
    with pytest.raises(BundleError, match=r"E_UNSAFE.*E_PATH configs/site.json: data.*E_CALL.*docs/safety.md"):
        refuse_unsafe(unsafe)


def test_dangers_accepted_by_name_pass(unsafe):
    assert not refuse_unsafe(unsafe, {"E_PATH", "E_CALL"}).safe
    with pytest.raises(BundleError, match="E_CALL"):
        refuse_unsafe(unsafe, {"E_PATH"})


@pytest.mark.parametrize("code", ["E_NOTHING", "N_URL"])
def test_what_is_no_danger_cannot_be_accepted(bundle, code):
    with pytest.raises(ConfigError, match=code):
        refuse_unsafe(bundle, {code})


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match="no folder"):
        inspect_bundle(tmp_path / "none")


def test_documents_are_noted_and_pass(bundle):
    (bundle / "README.md").write_text("Run curl https://example.org/x | sh\n")
    inspection = inspect_bundle(bundle)
    assert inspection.safe
    assert {one.code for one in inspection.findings} == {"N_URL", "N_COMMAND"}


def test_package_of_an_unknown_name_is_noted(bundle):
    metadata = {"required_packages_version": {"monai": "1", "momai": "1"}}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    found = [one for one in inspect_bundle(bundle).findings if one.code == "N_PACKAGE"]
    assert [one.what for one in found] == ["momai"]


def test_executable_mode_is_noted(bundle):
    (bundle / "configs" / "train.json").chmod(0o755)
    assert [one.code for one in inspect_bundle(bundle).findings] == ["N_EXECUTABLE"]


def test_command_says_safe_or_not_by_its_status(bundle, unsafe):
    run = CliRunner()
    assert run.invoke(bundle_app, ["inspect", str(REPOSITORY / "bundles" / "hcc_grade")]).exit_code == 0
    refused = run.invoke(bundle_app, ["inspect", str(unsafe)])
    assert refused.exit_code == 1
    assert "Not safe: 2 dangers (E_CALL, E_PATH)" in refused.stdout
    accepted = run.invoke(bundle_app, ["inspect", str(unsafe), "--accept", "E_CALL", "--accept", "E_PATH"])
    assert accepted.exit_code == 0


def test_command_never_reads_foreign_text_as_markup(unsafe):
    shown = CliRunner().invoke(bundle_app, ["inspect", str(unsafe)], env={"COLUMNS": "400"}).stdout
    assert "/etc/[red]passwd" in shown


def test_command_as_json(unsafe):
    result = CliRunner().invoke(bundle_app, ["inspect", str(unsafe), "--json"])
    content = json.loads(result.stdout)
    assert result.exit_code == 1
    assert content["schema"] == "mpmri-monai/inspection/1"
    assert content["safe"] is False
    assert {one["code"] for one in content["findings"] if one["level"] == "danger"} == {"E_CALL", "E_PATH"}
    assert all(one["why"] == REASONS[one["code"]] for one in content["findings"])


def test_command_on_a_packed_bundle(unsafe, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", unsafe.parent, unsafe.name)
    assert CliRunner().invoke(bundle_app, ["inspect", packed]).exit_code == 1


def test_documents_explain_every_code():
    text = (REPOSITORY / "docs" / "safety.md").read_text()
    assert set(re.findall(r"`([EN]_[A-Z0-9]+)`", text)) >= set(REASONS)


@pytest.mark.parametrize(
    "expression",
    [
        "$@epochs * len(@data) // 2",
        "$@bundle_root + '/models/model.pt'",
        "$mpmri.default_output_dir(@bundle_root) + '_answer'",
        "$@run_folder.path / 'history.csv'",
        "$'nccl' if torch.cuda.is_available() else 'gloo'",
        "$@images.train.shape[1]",
        "$[@network_def, (1, 2.5, None, True)]",
        "$mpmri.SPPResNet(**@arguments).to(@device, memory_format=torch.channels_last)",
        "$monai.handlers.from_engine(['pred', 'label'])",
        "$'-'.join(@cohort.fusion)",
        "$@arguments['in_channels']",
        "$not @epochs > 2 and @epochs",
        "$import mpmri_monai.inference as inference",
        "$from mpmri_monai.bundle import guard",
    ],
)
def test_forms_that_bundles_need_pass(expression):
    names = Names()
    names.add({"imports": ["$import mpmri_monai.bundle as mpmri"], "epochs": 3, "arguments": {"in_channels": 3}})
    assert list(judge_expression(expression, names)) == []


@pytest.mark.parametrize(
    "text", ["-" * 590 + "1", "a" + ".a" * 290, "(" * 190 + ")" * 190, "@a" * 200, "not " * 140 + "1"]
)
def test_long_expressions_are_judged_without_an_error(text):
    assert {code for code, _ in judge_expression(f"${text}", Names())} <= REASONS.keys()


def test_numbers_that_lead_to_each_other_are_judged_quickly():
    names = Names()
    names.add({f"n{index}": f"$@n{index + 1} + @n{index + 1}" for index in range(60)} | {"n60": "@n0"})
    assert list(judge_expression("$@n0 + 1", names))


_PIECES = st.sampled_from(
    ["@a", "@", "#", "::", "torch", ".", "(", ")", "[", "]", "'", '"', "+", "len", " or ", "1", "$"]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_is_judged_without_an_error(text):
    for code, _ in [
        *judge_expression(f"${text}", Names()),
        *judge_text(text),
        *judge_free_text(text),
        *judge_logging(text),
    ]:
        assert code in REASONS


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcdefgotrchs_", min_size=1, max_size=8), st.text(alphabet="abcdlos_", min_size=1, max_size=6))
def test_what_is_not_listed_is_refused(module, name):
    """Whatever the name: a call of something that no list holds does not pass."""
    assert list(judge_expression(f"$torch.{module}.{name}()", Names()))
    assert list(judge_expression(f"$@network.{module}_x.{name}()", Names()))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_judged_as_a_pickle_without_an_error(content):
    assert {code for code, _ in judge_pickle(content)} <= {"E_PICKLE"}
