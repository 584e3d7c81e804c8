"""What an inspection can find: one code, one reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REASONS = {
    "E_LINK": "a link can stand for a file outside the bundle, or change it",
    "E_SPECIAL": "only plain files and folders belong into a bundle",
    "E_KIND": "a file of this kind can hold code, and nothing here can look inside it",
    "E_CONTENT": "the content is not what the name says",
    "E_NAME": "this name can hide a file, or mean something else to a shell or another system",
    "E_SIZE": "more than a bundle needs; reading it could exhaust the memory",
    "E_DATA": "readers disagree about such a file, so what was inspected may not be what runs",
    "E_KEY": "MONAI copies keys into references; text of a key can become code",
    "E_TARGET": "only listed classes and functions may be built",
    "E_ARGUMENT": "this argument lets a listed function do more than it is listed for",
    "E_IMPORT": "only listed modules may be imported",
    "E_SYNTAX": "an expression may hold names, attributes, calls, literals and arithmetic of numbers only",
    "E_CALL": "only listed functions and constants may be used in an expression",
    "E_ATTRIBUTE": "only listed attributes of objects may be reached",
    "E_REFERENCE": "the reference makes something that was judged as text, or as a module, into something else",
    "E_MODE": "opens a debugger, or decides later how the target is called",
    "E_MACRO": "reads another file into the configuration, found from the folder the command runs in",
    "E_PATH": "reads or writes outside the bundle and the run's own folder",
    "E_URL": "reaches the network, or makes what runs differ from what was inspected",
    "E_TEXT": "the text holds code, or something a reader cannot see or read",
    "E_LOGGING": "logging configurations are evaluated as Python; only listed entries are known to be harmless",
    "E_SHAPE": "MONAI evaluates shapes of the metadata; only its documented forms are known to be harmless",
    "E_ARCHIVE": "readers disagree about such an archive, so what was inspected may not be what is loaded",
    "E_PICKLE": "more than tensors in plain containers: unpickling can call any function",
    "E_TORCHSCRIPT": "a TorchScript archive holds a program",
    "N_ACCESS": "what a listed function does to files, processes or the network",
    "N_URL": "text that a person may follow",
    "N_COMMAND": "a person who follows the documents would run this",
    "N_PACKAGE": "a person who installs what the metadata names would install this",
    "N_EXECUTABLE": "the file's mode lets it be started",
}
"""Code -> why it matters. ``E_``: a danger, the bundle is not safe. ``N_``: a note."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: key of REASONS.
        where: file inside the bundle, and the id inside the file.
        what: what stands there, made safe to print.
    """

    code: str
    where: str
    what: str

    @property
    def level(self) -> Literal["danger", "note"]:
        """``danger`` makes the bundle unsafe, ``note`` is for a person to know."""
        return "danger" if self.code.startswith("E_") else "note"

    @property
    def why(self) -> str:
        """Why it matters."""
        return REASONS[self.code]


LONGEST_SHOWN = 160
"""Characters of foreign text in a finding."""


def finding(code: str, where: str, what: object) -> Finding:
    """Return a finding whose texts hold no control characters, no terminal codes and no more than a line."""
    return Finding(code, printable(where), printable(what))


def printable(text: object) -> str:
    """Return ``text`` with everything but printable ASCII escaped, and cut to a line."""
    shown = str(text).encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 1] + "…"
