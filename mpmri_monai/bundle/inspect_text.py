"""Strings of a foreign bundle that are no expressions: paths, addresses, and text that could become code."""

from __future__ import annotations

import re
from collections.abc import Iterator

PATH_OUT = re.compile(r"^[/\\~]|^[A-Za-z]:[\\/]|(^|[\\/])\.\.([\\/]|$)|^\$?\{?HOME\b")
"""An absolute path (of any system), a home folder, or a step upwards."""
URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,12}://|^(file|data|javascript|hf|pip|git):", re.IGNORECASE)
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
    "|\r(?!\n)"
)
"""Control characters, invisible ones, those that turn the direction of reading, and halves of characters.

A carriage return alone ends a line of a file, but none of a text in memory, so that readers see other lines.
"""
CODE = re.compile(
    r"__\w+__|__import__|\b(eval|exec|compile|getattr|globals|open)\s*\("
    r"|^(os|sys|subprocess|builtins|shutil|socket|ctypes|pickle|importlib|runpy|pty|pdb|code|pathlib|posix|nt|types"
    r"|functools|operator|marshal|tempfile|webbrowser|urllib|http|ftplib|smtplib|asyncio|multiprocessing|concurrent"
    r"|threading|signal|platform|inspect|pydoc|logging|timeit|torch\.(os|hub|load|serialization|utils\.cpp_extension))"
    r"\.\w+(\.\w+)*$"
    r"|^\s*(import|from)\s+\w"
)
"""Python that some readers of strings would find by name or evaluate."""
OPAQUE = re.compile(r"[A-Za-z0-9+/=_-]{300,}")
"""Longer than any hash, name or path: packed content."""
COMMAND = re.compile(
    r"\b(curl|wget|sudo|chmod|bash -c|sh -c|eval|pip install|conda install|python -c|powershell|Invoke-WebRequest)\b"
    r"|\|\s*(ba|z)?sh\b|<script",
    re.IGNORECASE,
)
"""Commands in documents that would download, install or run something."""


def judge_text(text: str) -> Iterator[tuple[str, str]]:
    """Yield (code, what) for a string of a configuration."""
    yield from judge_unseen(text)
    if URL.search(text):
        yield "E_URL", text
    elif PATH_OUT.search(text):
        yield "E_PATH", text
    if CODE.search(text):
        yield "E_TEXT", text
    if OPAQUE.search(text):
        yield "E_TEXT", f"{len(text)} characters without a word: {text[:40]}"


def judge_free_text(text: str) -> Iterator[tuple[str, str]]:
    """Yield (code, what) for text that only people read."""
    yield from judge_unseen(text)
    for address in sorted(set(re.findall(r"[a-z]{2,8}://[^\s)>\]\"'`]+", text))):
        yield "N_URL", address
    for line in text.splitlines():
        if COMMAND.search(line):
            yield "N_COMMAND", line.strip()


def judge_unseen(text: str) -> Iterator[tuple[str, str]]:
    """Yield (code, what) when the text holds characters that a reader does not see."""
    found = UNSEEN.search(text)
    if found:
        start = max(0, found.start() - 20)
        yield "E_TEXT", f"unseen character U+{ord(found.group()):04X} in {text[start : found.end() + 20]!r}"
