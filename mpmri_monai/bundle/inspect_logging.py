"""``logging.conf`` of a foreign bundle: ``logging.config.fileConfig`` evaluates it, so only known entries pass."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator

from mpmri_monai.bundle.inspect_text import judge_unseen

_NAMES = re.compile(r"^[\w., -]*$")
_LEVELS = re.compile(r"^(NOTSET|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)$")
_ENTRIES = {
    "loggers": {"keys": _NAMES},
    "handlers": {"keys": _NAMES},
    "formatters": {"keys": _NAMES},
    "logger": {"level": _LEVELS, "handlers": _NAMES, "qualname": _NAMES, "propagate": re.compile(r"^[01]$")},
    "handler": {
        "class": re.compile(r"^(logging\.)?(StreamHandler|NullHandler)$"),
        "level": _LEVELS,
        "formatter": _NAMES,
        "args": re.compile(r"^\(\s*((sys\.(stdout|stderr)),?)?\s*\)$"),
    },
    "formatter": {
        "format": re.compile(r"^[^{}$]*$", re.DOTALL),
        "datefmt": re.compile(r"^[^{}$]*$", re.DOTALL),
        "class": re.compile(r"^(logging\.Formatter)?$"),
        "style": re.compile(r"^%$"),
    },
}
"""Kind of section -> key -> the values that may stand there. Handlers may write to the terminal only."""


def judge_logging(text: str) -> Iterator[tuple[str, str]]:
    """Yield (code, what) for everything in a logging configuration that is not a known harmless entry."""
    yield from judge_unseen(text)
    parser = configparser.RawConfigParser(strict=True)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        yield "E_LOGGING", f"cannot be read: {str(error).splitlines()[0]}"
        return
    for key in parser.defaults():
        yield "E_LOGGING", f"[DEFAULT] {key}, which is put into every section"
    for section in parser.sections():
        known = _ENTRIES.get(section) or _ENTRIES.get(section.partition("_")[0], {})
        for key, value in parser.items(section):
            if key in parser.defaults():
                continue
            filled_in = "%(" in value and key not in ("format", "datefmt")
            if key not in known or not known[key].fullmatch(value) or filled_in:
                yield "E_LOGGING", f"[{section}] {key} = {value}"
