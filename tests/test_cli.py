"""The mpmri command as a user meets it, in a process of its own."""

import subprocess
import sys

import pytest

COMMANDS = (
    "phantom",
    "scan",
    "deidentify",
    "manifest",
    "check",
    "contact-sheet",
    "prepare",
    "audit",
    "bundle",
    "compare",
    "experiment",
)


def mpmri(*arguments):
    program = "from mpmri_monai.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_help_names_every_command_and_what_it_is_not_for():
    result = mpmri("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in COMMANDS)
    assert "not for diagnosis" in result.stdout


def test_help_does_not_wait_for_torch():
    program = "import sys; from mpmri_monai import cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan", "{empty}"),
        ("scan", "{empty}/nowhere"),
        ("check", "{empty}/m.json"),
        ("prepare", "{empty}/m.json"),
        ("manifest", "{empty}", "--labels", "{empty}/labels.csv", "-o", "{empty}/m.json"),
        ("phantom", "{empty}"),
        ("phantom", "{empty}/new", "--preset", "quik"),
        ("phantom", "{empty}/new", "--patients", "1"),
        ("audit", "{empty}"),
        ("compare", "{empty}", "{empty}/other"),
        ("experiment", "nonsense", "--bundle", "{empty}", "--manifest", "{empty}/m.json", "--out", "{empty}/out"),
        ("experiment", "repeats", "--bundle", "{empty}", "--manifest", "{empty}/m.json", "--out", "{empty}/out"),
        ("bundle", "adopt", "{empty}", "{empty}"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, arguments):
    result = mpmri(*(argument.format(empty=tmp_path) for argument in arguments))
    assert result.returncode != 0
    assert "expected" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
