"""How steady an answer is: the same lesion, cut out otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.explain.lesion import Lesion, probabilities
from mpmri_monai.transforms.averaging import PLACES, SHIFT, averaging_crops, check_room
from mpmri_monai.transforms.batch import VIEWS, as_size, centre_crop, centre_starts, view


def variants(stored: Tensor, size: int | Sequence[int]) -> Iterator[Tensor]:
    """Yield the crops (sample, channel, …) of ``size`` that a lesion could as well have been seen by, central first.

    Of planes these are the crops of test-time averaging, `averaging_crops`; where the stored crop has no room for
    them, the six views of the central one. Of volumes they are the central crop and those shifted by 10 % in the plane,
    as far as there is room: rotations and flips of a volume are not what its training saw.

    Args:
        stored: (sample, channel, row, column) or (sample, channel, depth, row, column) in [0, 1].
        size: of the network's input, as `as_size` takes it.
    """
    wanted = as_size(size)
    if len(wanted) == 3:
        yield from _shifted(stored, wanted)
    elif _has_room(stored, wanted):
        yield from averaging_crops(stored, wanted)
    else:
        central = centre_crop(stored, wanted)
        yield from (view(central, index) for index in range(VIEWS if wanted[0] == wanted[1] else 1))


def agreement(network: nn.Module, lesion: Lesion, size: int | Sequence[int], class_index: int) -> tuple[float, int]:
    """Return the share of the variants in which the lesion's class is ``class_index``, and how many there are.

    Args:
        network: as trained, in evaluation.
        lesion: with stored crops.
        size: of the network's input.
        class_index: of the answer.
    """
    crops = torch.stack(list(variants(lesion.image, size)))
    same = probabilities(network, lesion, crops).argmax(dim=1) == class_index
    return same.double().mean().item(), len(same)


def _has_room(stored: Tensor, size: tuple[int, ...]) -> bool:
    try:
        check_room(stored.shape[2:], size)
    except ConfigError:
        return False
    return True


def _shifted(stored: Tensor, size: tuple[int, ...]) -> Iterator[Tensor]:
    starts = centre_starts(stored.shape[2:], size)
    seen = set()
    for down, right in PLACES:
        first = [starts[0]]
        for start, side, step in zip(starts[1:], size[1:], (down, right), strict=True):
            first.append(start + step * min(round(SHIFT * side), start))
        if tuple(first) not in seen:  # where there is no room, a shift ends where it began
            seen.add(tuple(first))
            cut = (slice(begin, begin + length) for begin, length in zip(first, size, strict=True))
            yield stored[..., *cut]
