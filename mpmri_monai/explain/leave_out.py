"""How much the answer rests on each sequence: the same question, with that sequence not present."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mpmri_monai.explain.lesion import Lesion, probabilities


def importance(network: nn.Module, lesion: Lesion, class_index: int, fusion: Sequence[str]) -> dict[str, float]:
    """Return by sequence the change of a class's probability when it is left out: below 0 it spoke for the class.

    A sequence that no sample has, and one without which a sample would show nothing, is not in the answer. What a
    network does without a sequence says as much as its training did without it: where training never left it out, the
    change holds the network's surprise too.

    Args:
        network: as trained, in evaluation.
        lesion: what it sees; the probability is the mean over its samples.
        class_index: along the network's output.
        fusion: sequence names along the channels.
    """
    whole = probabilities(network, lesion, lesion.one)[0, class_index]
    changes = {}
    for channel, name in enumerate(fusion):
        rest = lesion.without(channel)
        if lesion.present[:, channel].any() and rest.present.any(dim=1).all():
            changes[name] = float(probabilities(network, rest, rest.one)[0, class_index] - whole)
    return changes
