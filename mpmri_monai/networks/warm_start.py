"""Starting from pretrained weights: what is taken, what is adapted, what stays fresh, and why, tensor by tensor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import WeightsError
from mpmri_monai.networks.layered import FITTED, HEAD, LayeredNetwork
from mpmri_monai.networks.weights import SHOWN, read_weights

LEAST_SHARE = 0.5
"""Share of the expected tensors that pretrained weights must fill; below it, they belong to another network."""
STEM_RULE = (
    "a first convolution of other channels: each channel gets the mean over the file's channels × "
    "(channels in the file / channels here), so that a picture with equal channels gives the same response"
)

Outcome = Literal["taken", "adapted", "fresh", "unused"]


@dataclass(frozen=True)
class TensorStart:
    """Where one tensor of the network, or of the file, has gone.

    Attributes:
        tensor: its name in the state dict.
        outcome: ``taken`` from the file as it is, ``adapted`` from it, ``fresh`` (the network's own random or neutral
            values), or ``unused`` (in the file alone).
        why: the reason where it was not simply taken, else empty.
        shape_from: shape in the file; None when it is not there.
        shape_to: shape in the network; None when it is not there.
    """

    tensor: str
    outcome: Outcome
    why: str
    shape_from: tuple[int, ...] | None
    shape_to: tuple[int, ...] | None


@dataclass(frozen=True)
class WarmStart:
    """What a warm start made of a file of weights.

    Attributes:
        weights_sha256: of the file.
        tensors: the network's tensors in its order, then those that only the file has.
        expected: names of the network's tensors that weights of its kind fill.
    """

    weights_sha256: str
    tensors: tuple[TensorStart, ...]
    expected: tuple[str, ...]

    def names(self, outcome: Outcome) -> tuple[str, ...]:
        """Return the names of the tensors with this outcome."""
        return tuple(one.tensor for one in self.tensors if one.outcome == outcome)

    @property
    def share(self) -> float:
        """Share of the expected tensors that the file filled, taken or adapted; in [0, 1]."""
        filled = {*self.names("taken"), *self.names("adapted")}
        return len(filled.intersection(self.expected)) / len(self.expected)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values for a run's record."""
        return {
            "weights_sha256": self.weights_sha256,
            "share": round(self.share, 4),
            "stem_rule": STEM_RULE,
            "counts": {outcome: len(self.names(outcome)) for outcome in ("taken", "adapted", "fresh", "unused")},
            "tensors": [asdict(one) for one in self.tensors],
        }

    def __str__(self) -> str:
        parts = []
        for outcome in ("taken", "adapted", "fresh", "unused"):
            found = [one for one in self.tensors if one.outcome == outcome]
            if not found:
                continue
            text = f"{len(found)} {outcome}"
            if outcome != "taken":
                named = [f"{one.tensor}: {one.why}" for one in found[:SHOWN]]
                text += f" ({'; '.join(named)}{'; …' if len(found) > SHOWN else ''})"
            parts.append(text)
        return "tensors: " + ", ".join(parts)


def warm_start(
    network: LayeredNetwork, path: Path | str, leave_out: str | None = HEAD, least: float = LEAST_SHARE
) -> WarmStart:
    """Copy the tensors of ``path`` that fit ``network`` by name and shape; return what was and was not copied.

    The network's first convolution (filter, channel, …), whatever its name, is adapted to another number of channels:
    every channel gets the mean over the file's channels × C_file / C_network, so that a picture with equal channels
    gives the same response. The constants of absent channels then stay fresh (0). So does, always, what is fitted on
    the training samples (``standardise``).

    Whether the file is of the same kind of network is measured on the tensors that such a file can be expected to
    hold (`LayeredNetwork.expected_from_file`): all of an SPP-ResNet or another network with pooling, and of a network
    that flattens its maps the convolutions, so that an encoder's file is enough and the dense layer above it starts
    fresh. A file that does hold that dense layer, but for another number of voxels, is of another geometry.

    Args:
        network: changed in place, once it is sure that the weights fit.
        path: state dict to start from.
        leave_out: tensors whose name contains this keep their fresh values: a file names no classes, so the head is
            that of another task. Empty or None to go on with the same task.
        least: share of the expected tensors, in [0, 1], that the file must fill.

    Raises:
        WeightsError: the file is missing, damaged or holds more than tensors; it holds values that are not finite; it
            is of another geometry; or it fills less than ``least`` of the network, which is training from scratch in
            disguise. The network is left as it was.
    """
    state = read_weights(path)
    own, stem = network.state_dict(), network.stem
    tensors = _whole_layers([_compare(name, state.get(name), own[name], leave_out, stem) for name in own])
    tensors += [
        TensorStart(name, "unused", "not in the network", tuple(state[name].shape), None)
        for name in state
        if name not in own
    ]
    report = WarmStart(file_digest(path), tuple(tensors), network.expected_from_file())
    if report.share < least:
        raise WeightsError(
            expected=f"pretrained weights that fill at least {least:.0%} of the network's {len(report.expected)} "
            "tensors",
            found=f"{report.share:.0%}; {report}",
            where=str(path),
            fix="give weights of the same kind of network, or 'scratch'",
            code="E_WEIGHTS",
        )
    _refuse_other_geometry(network, state, path)
    own |= {name: state[name] for name in report.names("taken")}
    own |= {name: _adapt_channels(state[name], own[name].shape[1]) for name in report.names("adapted")}
    network.load_state_dict(own)
    return report


def _refuse_other_geometry(network: LayeredNetwork, state: dict[str, Tensor], path: Path | str) -> None:
    """Refuse weights of crops of another size, which the layer that reads every voxel tells."""
    name = network.reads_every_voxel
    if name not in state:
        return
    found, wanted = sum(state[name].shape[-1:]), network.get_parameter(name).shape[-1]  # a lone number reads none
    if found != wanted:
        raise WeightsError(
            expected=f"weights of the same geometry, whose {name} reads {wanted} values of a crop",
            found=f"{found} values",
            where=str(path),
            fix="train on crops of that size, or give an encoder's weights (convolutions alone), which fit any",
            code="E_WEIGHTS",
        )


def _compare(name: str, found: Tensor | None, own: Tensor, leave_out: str | None, stem: str | None) -> TensorStart:
    shape_to, shape_from = tuple(own.shape), None if found is None else tuple(found.shape)
    why = _why_fresh(name, found, own, leave_out)
    if why:
        return TensorStart(name, "fresh", why, shape_from, shape_to)
    if shape_from == shape_to:
        return TensorStart(name, "taken", "", shape_from, shape_to)
    if name == stem and (shape_from[:1], shape_from[2:]) == (shape_to[:1], shape_to[2:]):
        return TensorStart(name, "adapted", f"{shape_from[1]} → {shape_to[1]} channels", shape_from, shape_to)
    return TensorStart(name, "fresh", f"other shape {shape_from} for {shape_to}", shape_from, shape_to)


def _why_fresh(name: str, found: Tensor | None, own: Tensor, leave_out: str | None) -> str:
    """Say why the tensor cannot come from the file, whatever its shape there; empty where it can."""
    if name.startswith(FITTED):
        return "fitted on the training samples"
    if found is None:
        return "not in the file"
    if leave_out and leave_out in name:
        return "head of another task"
    if found.dtype.is_floating_point != own.dtype.is_floating_point:
        return f"other numbers ({found.dtype} for {own.dtype})"
    return ""


def _whole_layers(tensors: list[TensorStart]) -> list[TensorStart]:
    """Leave a bias fresh where its weight is: it shifts what another weight gave."""
    fresh = {one.tensor for one in tensors if one.outcome == "fresh"}
    return [
        replace(one, outcome="fresh", why="its weight is fresh")
        if one.outcome == "taken" and one.tensor.removesuffix("bias") + "weight" in fresh
        else one
        for one in tensors
    ]


def _adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Spread a convolution's weight (filter, channel, …) evenly over ``channels``; its sum stays the same."""
    return (weight.sum(dim=1, keepdim=True) / channels).repeat(1, channels, *[1] * (weight.dim() - 2))
