"""Checks that run something: whether weights fit their networks, and whether networks are as metadata.json says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from mpmri_monai.bundle.adopt import METADATA, read_table
from mpmri_monai.bundle.verify_outcome import DoesNotApply
from mpmri_monai.bundle.weights_record import MODEL, record_of, weights_files
from mpmri_monai.errors import BundleError, MpmriError
from mpmri_monai.networks import LayeredNetwork, PatchAutoencoder, build_network, load_weights, read_weights
from mpmri_monai.networks.weights import LARGEST_FILE_BYTES

CLASSES = "num_classes"
"""Argument that every network has but an autoencoder, of which the encoder alone is kept."""
BATCH = 2
"""Images that are put through a network at once, so that a batch is told from a channel."""


def check_weights(bundle: Path) -> str:
    """Return which weights there are; raise BundleError naming all that do not fit, with what does not fit."""
    files = weights_files(bundle)
    if not files:
        raise DoesNotApply("no weights are shipped in models/")
    problems, fitting = [], []
    for path in files:
        try:
            network = network_of(record_of(path), planned=True)
            if isinstance(network, PatchAutoencoder):
                _fit_encoder(network, path)
            else:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*meta parameter")  # they are compared, and go nowhere
                    load_weights(network, path)
            fitting.append(f"{path.name} ({sum(p.numel() for p in network.parameters())} parameters)")
        except MpmriError as error:
            problems.append(f"models/{path.name}: {error.found} (expected: {error.expected})")
    if problems:
        raise BundleError(
            expected="weights that fit the networks of their records, strictly",
            found="; ".join(problems),
            fix="take weights and record from the same run",
            code="E_WEIGHTS",
        )
    return f"{', '.join(fitting)}: every tensor fits, all finite"


def network_of(record: dict[str, Any], planned: bool = False) -> LayeredNetwork:
    """Return a new network by the record of weights.

    Args:
        record: of a bundle that may be hostile: its numbers are looked at before memory is taken for them.
        planned: names and shapes alone, on torch's meta device.

    Raises:
        ConfigError: the record is of no network that this package knows.
        BundleError: E_LIMIT, of a larger one than weights may be.
    """
    with torch.device("meta"):
        network = _new(record["network"])
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > LARGEST_FILE_BYTES:
        raise BundleError(
            expected=f"a network of at most {LARGEST_FILE_BYTES >> 20} MiB", found=f"{size >> 20} MiB", code="E_LIMIT"
        )
    return network if planned else _new(record["network"])


def _new(arguments: dict[str, Any]) -> LayeredNetwork:
    return build_network(**arguments) if CLASSES in arguments else PatchAutoencoder(**arguments)


def _fit_encoder(network: PatchAutoencoder, path: Path) -> None:
    """Raise BundleError unless ``path`` holds the encoder of an autoencoder, all of it, in its shapes."""
    wanted, found = network.encoder_state(), read_weights(path)
    odd = [name for name in {**wanted, **found} if name not in wanted or name not in found]
    odd += [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    if odd:
        raise BundleError(expected="the encoder of its record", found=f"other tensors: {', '.join(odd)}")


def check_network(bundle: Path) -> str:
    """Put an image as metadata.json describes it through the bundle's networks, and compare what comes out.

    Returns:
        The shapes, and which networks were tried: that of train.json, unless it cannot be built without the data, and
        that of the weights which the metadata are about.

    Raises:
        BundleError: E_NETWORK, a network takes no such image or gives something else, each with its shapes.
    """
    data = read_table(bundle, METADATA)["network_data_format"]
    image = torch.rand(BATCH, *_shape(data["inputs"]["image"]), generator=torch.Generator().manual_seed(0))
    pred = data["outputs"]["pred"]
    wanted = (BATCH, pred["num_channels"]) if pred["type"] == "probabilities" else (BATCH, *_shape(pred))
    networks, problems = _networks(bundle), []
    for name, network in networks.items():
        found = _tried(network, image)
        if isinstance(found, Tensor) and found.shape == wanted and str(found.dtype).endswith(pred["dtype"]):
            continue
        problems.append(f"{name}: {found if isinstance(found, str) else f'{tuple(found.shape)} {found.dtype}'}")
    if problems:
        raise BundleError(
            expected=f"{wanted} {pred['dtype']} from {tuple(image.shape)}, as configs/metadata.json says",
            found="; ".join(problems),
            fix="correct network_data_format, or the configuration of the network",
            code="E_NETWORK",
        )
    return f"{tuple(image.shape)} to {wanted}: {', '.join(networks)}"


def _networks(bundle: Path) -> dict[str, nn.Module]:
    """Return the networks that the metadata are about, by where each comes from."""
    if (bundle / MODEL).is_file():
        shipped: dict[str, nn.Module] = {"the weights' network": network_of(record_of(bundle / MODEL))}
    else:
        shipped = {f"that of {path.name}": network_of(record_of(path)) for path in weights_files(bundle)}
        if shipped:  # a bundle of weights to start from: its own network follows from images that are not here
            return shipped
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "train.json"))
    return shipped | {"network_def of train.json": parser.get_parsed_content("network_def")}


def _tried(network: nn.Module, image: Tensor) -> Tensor | str:
    """Return the network's output for ``image``, or why there is none."""
    try:
        with torch.no_grad():
            return network.eval()(image)
    except (RuntimeError, ValueError, MpmriError) as error:
        return str(error).splitlines()[0]


def _shape(spec: dict[str, Any]) -> tuple[int, ...]:
    """Return (channel, *spatial) of a tensor in the metadata.

    Raises:
        BundleError: a side is no whole number; the networks of this package take images of one size.
    """
    sides = spec["spatial_shape"]
    if not all(isinstance(side, int) for side in sides):
        raise BundleError(expected="whole numbers in spatial_shape", found=str(sides), code="E_NETWORK")
    return (spec["num_channels"], *sides)
