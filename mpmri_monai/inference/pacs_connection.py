"""The connection to a PACS: its address, the association, and what can go wrong with either.

pynetdicom's log is kept back while a connection lasts: it holds queries, titles and hosts.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import ConfigError, MpmriError

LOOPBACK = "127.0.0.1"
OWN_TITLE = "MPMRI"
"""What this software calls itself to a PACS, which has to know the name."""
ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.\-]*|\[[0-9A-Fa-f:]+\]):(?P<port>\d{1,5})/(?P<title>[!-\[\]-~]{1,16})")

CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
"""How long to wait for a connection, and for each answer on it (a PACS may have to load from tape)."""
UNKNOWN_CALLER, UNKNOWN_CALLED = 3, 7
"""Reasons to reject an association (PS3.8, 9.3.4)."""


class PacsError(MpmriError):
    """A PACS cannot be reached, refuses, or does not have exactly what was asked for."""


@dataclass(frozen=True)
class Address:
    """Where a PACS listens, and its application entity title."""

    host: str = field(repr=False)
    port: int
    title: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT/AET``; without a host it is this machine's loopback.

        Raises:
            ConfigError: the text has another form.
        """
        found = ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise ConfigError(
                expected="the address of a PACS as HOST:PORT/AET, such as 127.0.0.1:4242/ORTHANC",
                found="another form",
                fix="leave HOST out for a PACS on this machine",
                code="E_PACS_ADDRESS",
            )
        return cls(found["host"].strip("[]") or LOOPBACK, int(found["port"]), found["title"])


class Receiver(Protocol):
    """Takes what a PACS sends during C-GET; both methods are handlers of pynetdicom's events."""

    def store(self, event: Any) -> int:
        """Keep one object and return the status of C-STORE."""

    def count(self, event: Any) -> None:
        """See the bytes that arrive."""


@contextmanager
def connected(
    address: Address, own_title: str, contexts: Sequence[tuple[str, Any, bool]], receiver: Receiver | None = None
) -> Iterator[Any]:
    """Associate with a PACS for the block; contexts are (class, transfer syntax or None, received by us)."""
    try:
        from pynetdicom import AE, build_role, evt
    except ImportError as error:
        raise ConfigError(
            expected="the extra pacs, to speak to a PACS",
            found="no pynetdicom",
            fix="pip install 'mpmri_monai[pacs]'",
            code="E_PACS_EXTRA",
        ) from error
    entity = AE(ae_title=own_title)
    entity.connection_timeout = entity.acse_timeout = CONNECT_SECONDS
    entity.dimse_timeout = entity.network_timeout = ANSWER_SECONDS
    for kind, syntax, _ in contexts:
        entity.add_requested_context(kind, syntax)
    roles = [build_role(kind, scp_role=True) for kind in dict.fromkeys(kind for kind, _, ours in contexts if ours)]
    handlers = []
    if receiver is not None:
        handlers = [(evt.EVT_C_STORE, receiver.store), (evt.EVT_DATA_RECV, receiver.count)]
    with _silent():
        try:
            association = entity.associate(
                address.host, address.port, ae_title=address.title, ext_neg=roles, evt_handlers=handlers
            )
        except (socket.gaierror, UnicodeError) as error:
            raise PacsError(
                expected="the host of a PACS", found="no host of this name", fix="check HOST in HOST:PORT/AET",
                code="E_PACS_CONNECT",
            ) from error  # fmt: skip
        if not association.is_established:
            raise _refused(association, address)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep back pynetdicom's log: it holds queries, titles and hosts."""
    logger = logging.getLogger("pynetdicom")
    before = logger.propagate
    logger.propagate = False
    try:
        with without_warnings():
            yield
    finally:
        logger.propagate = before


def _refused(association: Any, address: Address) -> PacsError:
    answer = association.acceptor.primitive
    if not association.is_rejected:
        return PacsError(
            expected=f"a PACS at port {address.port} of the host that was named",
            found="no answer" if answer is None else "an answer that ends the connection",
            fix="check that it runs, the port, and the firewall",
            code="E_PACS_CONNECT",
        )
    reason = {
        UNKNOWN_CALLER: "it does not know the title of this machine; have it entered there, or name it by --own-title",
        UNKNOWN_CALLED: f"it is not called {address.title}; check the title after the / of its address",
    }.get(answer.diagnostic, "ask who looks after the PACS; it gave no reason that names a setting")
    return PacsError(
        expected="a PACS that accepts the association", found="it refuses it", fix=reason, code="E_PACS_REFUSED"
    )


def answer_error(what: str, status: int | None) -> PacsError:
    found = "the connection ended" if status is None else f"status {status:04X}"
    return PacsError(
        expected=f"the PACS {what}", found=found, fix="its log says why; then try again", code="E_PACS_ANSWER"
    )


def not_allowed(what: str) -> PacsError:
    return PacsError(
        expected=f"a PACS that allows {what}",
        found="one that does not",
        fix="have it allowed for this machine, or export the study as files",
        code="E_PACS_REFUSED",
    )
