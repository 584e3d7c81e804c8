"""A harmless bundle that each hostile way spoils, and a watch over everything that happens while it is inspected."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from mpmri_monai.bundle.inspect import Inspection, inspect_bundle, refuse_unsafe
from mpmri_monai.errors import BundleError

TRAIN = {
    "imports": ["$import mpmri_monai.bundle as mpmri"],
    "bundle_root": "$mpmri.bundle_root()",
    "output_dir": "$mpmri.default_output_dir(@bundle_root)",
    "epochs": 3,
    "steps": "$@epochs * 10",
    "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "network_arguments": {"in_channels": 3, "num_classes": 2},
    "network_def": "$mpmri.SPPResNet(**@network_arguments)",
    "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network_def.parameters()", "lr": 0.1},
    "training": ["$mpmri.guard()"],
    "run": "%training",
}
LOGGING = """[loggers]
keys=root
[handlers]
keys=console
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=console
[handler_console]
class=StreamHandler
level=INFO
formatter=plain
args=(sys.stderr,)
[formatter_plain]
format=%(asctime)s %(message)s
"""
METADATA = {
    "version": "0.1.0",
    "description": "A bundle for tests. Look at https://example.org for more.",
    "required_packages_version": {"monai": "1.6.1"},
    "network_data_format": {"inputs": {"image": {"num_channels": 3, "spatial_shape": ["*", "2**p*n", 32]}}},
}


class Victim:
    """A harmless bundle to be spoiled.

    Attributes:
        folder: of the bundle.
        canary: a file outside the bundle that is there once hostile code has run.
        touch: a shell command that makes the canary.
        code: a Python expression that makes the canary.
    """

    def __init__(self, place: Path) -> None:
        self.folder, self.canary = place / "foreign", place / "canary"
        self.touch = f"touch {self.canary}"
        self.code = f"__import__('os').system('{self.touch}')"
        for name, text in (
            ("configs/train.json", json.dumps(TRAIN)),
            ("configs/evaluate.yaml", "epochs: 1\nrun: '%training'\n"),
            ("configs/metadata.json", json.dumps(METADATA)),
            ("configs/logging.conf", LOGGING),
            ("docs/README.md", "# A bundle\nmpmri infer --bundle foreign -i STUDY -o OUT\n"),
            ("LICENSE", "Apache-2.0\n"),
            ("models/reference.json", json.dumps({"classes": ["well", "poorly"], "temperature": 1.5})),
        ):
            self.write(name, text)
        torch.save({"weight": torch.zeros(2, 3), "steps": torch.tensor(4)}, self.folder / "models" / "model.pt")
        header = struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(4)
        self.write("selftest/T2.nii.gz", gzip.compress(header + bytes(64)))

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the bundle."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def config(self, **entries: object) -> str:
        """Put entries into the training configuration; return the id of the last."""
        self.write("configs/train.json", json.dumps({**TRAIN, **entries}))
        return list(entries)[-1]

    def logging(self, old: str = "", new: str = "", more: str = "") -> Path:
        """Put ``new`` in the place of ``old`` in the logging configuration, and ``more`` behind its end."""
        return self.write("configs/logging.conf", LOGGING.replace(old, new) + more)

    def metadata(self, **entries: object) -> None:
        """Put entries into the metadata."""
        self.write("configs/metadata.json", json.dumps({**METADATA, **entries}))


_watched: list[tuple[str, tuple]] | None = None
_RUNS = (
    "exec",
    "import",
    "marshal.",
    "pickle.",
    "os.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "shutil.",
    "code.",
    "open",
)
_NO_SOURCE = "<unknown>"
"""Python looks for a file of this name, to quote from it, when text cannot be parsed."""
_LOOKS = ("os.listdir", "os.scandir", "os.fwalk", "os.walk")


def _watch(event: str, arguments: tuple) -> None:
    if _watched is not None and event.startswith(_RUNS) and event not in _LOOKS:
        _watched.append((event, arguments))


sys.addaudithook(_watch)


@contextmanager
def _nothing_runs(folder: Path) -> Iterator[None]:
    """Fail when the block evaluates, imports, unpickles, starts, connects, writes, or reads outside ``folder``."""
    global _watched  # noqa: PLW0603 - an audit hook stays for the life of the process
    _watched = []
    try:
        yield
    finally:
        seen, _watched = _watched, None
    strange = [
        (event, arguments)
        for event, arguments in seen
        if event != "open"
        or arguments[1] not in ("rb", "r")
        or (folder not in Path(str(arguments[0])).parents and arguments[0] != _NO_SOURCE)
    ]
    assert strange == []


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path)


@pytest.fixture(scope="session")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Everything that an inspection itself imports is imported before anything is watched."""
    assert b"a".decode("cp437") == "a"  # names in old archives
    harmless = Victim(tmp_path_factory.mktemp("harmless"))
    assert inspect_bundle(harmless.folder).dangers() == ()
    harmless.write("models/model.pt", b"PK\x03\x04")
    harmless.write("models/other.pt", b"\x80\x02.")
    harmless.write("configs/\x1b.yaml", b"\xff: !!x [")
    assert not inspect_bundle(harmless.folder).safe


@pytest.fixture
def inspected(victim: Victim, _warm: None) -> Callable[[], Inspection]:
    """Inspect the victim under watch, and check that nothing of it ran."""

    def inspect() -> Inspection:
        with _nothing_runs(victim.folder):
            inspection = inspect_bundle(victim.folder)
        assert not victim.canary.exists()
        return inspection

    return inspect


@pytest.fixture
def refused(victim: Victim, inspected: Callable[[], Inspection]) -> Callable[[str], None]:
    """Check that the spoilt bundle does not pass, for the reason ``code``, and that nothing of it ran."""

    def check(code: str) -> None:
        inspection = inspected()
        assert not inspection.safe
        assert code in {one.code for one in inspection.dangers()}, inspection.dangers()
        assert all(f"{one.where}{one.what}".replace("…", "").isprintable() for one in inspection.findings)
        with pytest.raises(BundleError, match="E_UNSAFE"):
            refuse_unsafe(victim.folder)
        assert not victim.canary.exists()

    return check


@pytest.fixture
def runs_in_monai(victim: Victim) -> Callable[[str], None]:
    """Check that MONAI runs the code at an id where nobody inspects it: the corpus is not made of straw."""

    def check(identifier: str) -> None:
        parser = ConfigParser()
        with suppress(Exception):  # some ways end in an error once the code has run
            parser.read_config(str(victim.folder / "configs" / "train.json"))
            parser.parse()
            parser.get_parsed_content(identifier)
        assert victim.canary.exists()

    return check
