"""Weights on disk: bare state dicts of tensors, read without running anything, and never loaded in silence."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mpmri_monai.artefacts import whole_file
from mpmri_monai.errors import WeightsError

LARGEST_FILE_BYTES = 2 * 1024**3
"""Of a file of weights, of what it holds once it is uncompressed, and of its tensors."""
SHOWN = 6
"""Names that a line of text lists before it says that there are more."""
PLAIN_NUMBERS = {torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8}


def save_weights(network: nn.Module, path: Path | str) -> None:
    """Write the network's state dict, whole or not at all; contiguous on the CPU, no DistributedDataParallel prefix."""
    save_state(getattr(network, "module", network).state_dict(), path)


def save_state(state: Mapping[str, Tensor], path: Path | str) -> None:
    """Write a state dict, such as a part of a network's, whole or not at all; contiguous on the CPU."""
    content = io.BytesIO()  # saved to a file, its temporary name would become part of the bytes
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, content)
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the state dict in ``path``.

    Raises:
        WeightsError: the file is missing, too large, or holds anything but tensors of finite numbers by name.
    """
    path = Path(path)
    wanted = "a file of weights (a PyTorch state dict of tensors)"
    if not path.is_file():
        raise WeightsError(
            expected=wanted,
            found=f"no file {path}",
            fix="train first, or give the file's place; random weights are never used in its stead",
            code="E_WEIGHTS",
        )
    try:
        if max(path.stat().st_size, _uncompressed_bytes(path)) > LARGEST_FILE_BYTES:
            raise WeightsError(
                expected=f"{wanted} of at most {LARGEST_FILE_BYTES} bytes",
                found="more",
                where=str(path),
                code="E_WEIGHTS",
            )
        _refuse_changed_bytes(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # damaged bytes make torch raise anything; the answer for the user is the same
        foreign = isinstance(error, pickle.UnpicklingError)
        found = (
            "something other than tensors, such as pickled code; nothing in it was run"
            if foreign
            else "a damaged or truncated file"
        )
        raise WeightsError(expected=wanted, found=found, where=str(path), code="E_WEIGHTS") from error
    other = _what_is_no_tensor(state)
    if other:
        raise WeightsError(
            expected=wanted,
            found=other,
            where=str(path),
            fix="save the network's state_dict() alone",
            code="E_WEIGHTS",
        )
    _refuse_not_finite(state, path)
    return state


def _uncompressed_bytes(path: Path) -> int:
    """Return what the file's archive says that it holds, 0 where it is none: torch reserves that much for it."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def _refuse_changed_bytes(path: Path) -> None:
    """Raise BadZipFile where the file is an archive and its checksums do not hold: torch reads past them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(broken)


def _what_is_no_tensor(state: object) -> str | None:
    """Say what, in something read from a file, is no state dict of plain tensors of a sane size."""
    if not isinstance(state, dict) or not state:
        return f"an empty {type(state).__name__}" if state == {} else f"a {type(state).__name__}"
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return f"a {type(value).__name__} under {str(name)[:40]!r}"
        if value.layout is not torch.strided or value.dtype not in PLAIN_NUMBERS or value.device.type != "cpu":
            return f"a {value.layout} tensor of {value.dtype} on {value.device} under {name[:40]!r}"
        if not value.numel():
            return f"a tensor without any number under {name[:40]!r}"
    # a tensor may be a view that is larger than what the file stores of it
    if sum(value.numel() * value.element_size() for value in state.values()) > LARGEST_FILE_BYTES:
        return f"tensors of more than {LARGEST_FILE_BYTES} bytes"
    return None


def _refuse_not_finite(state: dict[str, Tensor], path: Path) -> None:
    """Raise WeightsError for NaN or infinity, as which float32 holds what is too large for it."""
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise WeightsError(
            expected="weights that are finite numbers",
            found=f"NaN or infinity in {_listed(broken)}",
            where=str(path),
            fix="train those weights again, or give others",
            code="E_WEIGHTS",
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def load_weights(network: nn.Module, path: Path | str) -> None:
    """Load every tensor of ``path`` into ``network``, which must want exactly those.

    Raises:
        WeightsError: a tensor is missing, unexpected or of another shape; the network is left as it was.
    """
    network.load_state_dict(fitting_weights(network, path))


def fitting_weights(network: nn.Module, path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of ``path``, which must be exactly those that ``network`` wants, on whatever device it is.

    Raises:
        WeightsError: a tensor is missing, unexpected or of another shape.
    """
    state = read_weights(path)
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    other = [
        f"{n} {tuple(state[n].shape)} for {tuple(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    if missing or unexpected or other:
        found = "; ".join(
            f"{len(names)} {what} ({_listed(names)})"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
            if names
        )
        raise WeightsError(
            expected=f"weights that fit the network ({len(own)} tensors)",
            found=found,
            where=str(path),
            fix="give the fusion, size, widths and pooling that these weights were trained with",
            code="E_WEIGHTS",
        )
    return state
