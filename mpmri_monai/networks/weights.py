"""Weights on disk: bare state dicts of tensors, read without running anything, and never loaded in silence."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.utils import copy_model_state
from torch import Tensor, nn

from mpmri_monai.artefacts import whole_file
from mpmri_monai.errors import WeightsError

LARGEST_FILE_BYTES = 2 * 1024**3
SMALLEST_WARM_START = 0.5
"""Share of the network's tensors that pretrained weights must fill; below it, they belong to another network."""


def save_weights(network: nn.Module, path: Path | str) -> None:
    """Write the network's state dict, whole or not at all; contiguous on the CPU, no DistributedDataParallel prefix."""
    network = getattr(network, "module", network)
    content = io.BytesIO()  # saved to a file, its temporary name would become part of the bytes
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, content)
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the state dict in ``path``.

    Raises:
        WeightsError: the file is missing, too large, or holds anything but tensors by name.
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
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise WeightsError(expected=wanted, found=f"{path.stat().st_size} bytes", where=str(path), code="E_WEIGHTS")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            expected=wanted, found="something else, or a damaged file", where=str(path), code="E_WEIGHTS"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(expected=wanted, found=f"a {type(state).__name__}", where=str(path), code="E_WEIGHTS")
    return state


def load_weights(network: nn.Module, path: Path | str) -> None:
    """Load every tensor of ``path`` into ``network``, which must want exactly those.

    Raises:
        WeightsError: a tensor is missing, unexpected or of another shape; the network is left as it was.
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
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
            if names
        )
        raise WeightsError(
            expected=f"weights that fit the network ({len(own)} tensors)",
            found=found,
            where=str(path),
            fix="give the fusion, embedding and pooling that these weights were trained with",
            code="E_WEIGHTS",
        )
    network.load_state_dict(state)


@dataclass(frozen=True)
class WarmStart:
    """What a warm start took from a file, by tensor name."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{len(self.loaded)} tensors from the file, {len(self.fresh)} fresh"
        if self.fresh:
            text += f" ({', '.join(self.fresh[:6])}{', …' if len(self.fresh) > 6 else ''})"
        return text + (f", {len(self.ignored)} of the file not used" if self.ignored else "")


def warm_start(network: nn.Module, path: Path | str, leave_out: str | None = "classifier") -> WarmStart:
    """Copy the tensors of ``path`` that fit ``network`` by name and shape; return what was and was not copied.

    Args:
        network: changed in place.
        path: state dict to start from.
        leave_out: tensors whose name contains this keep their fresh values (the head of another task).

    Raises:
        WeightsError: fewer than half of the network's tensors fit, which is training from scratch in disguise.
    """
    state = read_weights(path)
    _, loaded, fresh = copy_model_state(network, state, exclude_vars=leave_out, inplace=True)
    report = WarmStart(tuple(loaded), tuple(fresh), tuple(name for name in state if name not in set(loaded)))
    total = len(report.loaded) + len(report.fresh)
    if len(report.loaded) < SMALLEST_WARM_START * total:
        raise WeightsError(
            expected=f"pretrained weights that fill at least half of the network's {total} tensors",
            found=str(report),
            where=str(path),
            fix="give weights of the same kind of network, or 'scratch'",
            code="E_WEIGHTS",
        )
    return report
