"""Fusion: choosing the channels that a network sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.transforms import MapTransform, Transform

from mpmri_monai import sequences as vocabulary
from mpmri_monai.errors import ConfigError


class FuseSequences(Transform):
    """Pick the sequences of a fusion out of an array whose first axis is all sequences.

    Args:
        fusion: ``T2-OUT-S4``, a paper name or a list (``mpmri_monai.sequences.fusion``).
        sequences: what lies along the first axis.

    Raises:
        ConfigError: the fusion names an unknown sequence, or the array has another number of sequences.
    """

    def __init__(self, fusion: str | Sequence[str], sequences: Sequence[str] = vocabulary.SEQUENCES) -> None:
        self.sequences = tuple(sequences)
        self.fusion = vocabulary.fusion(fusion, self.sequences)
        self.channels = [self.sequences.index(sequence) for sequence in self.fusion]

    def __call__(self, array: NdarrayOrTensor) -> NdarrayOrTensor:
        """Return (channel, …) from (sequence, …); numpy, torch and MetaTensor alike."""
        if array.shape[0] != len(self.sequences):
            raise ConfigError(
                expected=f"an array of {len(self.sequences)} sequences ({' '.join(self.sequences)})",
                found=f"one of shape {'×'.join(map(str, array.shape))}",
            )
        return array[self.channels]


class FuseSequencesd(MapTransform):
    """Dictionary twin of FuseSequences; by default ``image`` and ``present`` stay in step."""

    def __init__(
        self,
        fusion: str | Sequence[str],
        sequences: Sequence[str] = vocabulary.SEQUENCES,
        keys: KeysCollection = ("image", "present"),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.fuse = FuseSequences(fusion, sequences)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.fuse(result[key])
        return result
