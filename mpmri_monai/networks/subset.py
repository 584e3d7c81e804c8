"""A network that takes any subset of sequences: one encoder for all, and attention over those that are there."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks.spp_resnet import LAYERS, STAGE_CHANNELS, SPPResNet


class SubsetNetwork(SPPResNet):
    """Each sequence through the same one-channel SPPResNet → attention over the sequences that are there → classes.

    The encoder is told which sequence it sees by a learned vector, added to the maps of its first layer. So one set of
    filters serves all sequences, and a bright T2 can still mean something else than a bright S2. The encoder's outputs,
    one embedding a sequence, are averaged by attention, each feature with weights of its own that depend on the
    embedding and on the sequence ("vector attention", Zhao et al., "Point Transformer", ICCV 2021; attention as pooling
    of a bag: Ilse et al., ICML 2018)::

        embedding[s] = E(image[s], s)
        weight[s, f] = softmax over the sequences s that are there (A · tanh(embedding[s]) + b[s])[f]
        pooled[f]    = Σ_s weight[s, f] · embedding[s, f]

    What is not there is never computed: the pixels of an absent sequence cannot change a bit of the output, and batch
    norm never sees them. There is no constant for an absent sequence. Before training A, b and the sequences' vectors
    are 0, so that pooling is the mean and every sequence is seen alike.

    The names of the encoder's tensors are those of `SPPResNet`, whose weights start it: a first convolution of three
    colours becomes one of one channel as `warm_start` says. The layers for fine-tuning are the same twelve, too; what
    is about sequences belongs to the layer ``embedding``, so that weights from pictures can serve only from depth 2 on.

    Args:
        in_channels: sequences of the fusion; any one or more of them must be there in a sample.
        num_classes: length of the output.
        arguments: further ones of `SPPResNet`.

    Raises:
        ConfigError: no sequence, or arguments that SPPResNet refuses.
    """

    layer_parts: ClassVar = {
        **LAYERS,
        "stem": ("conv1", "norm1"),
        "embedding": ("embedding", "sequence_vectors", "sequence_weights", "attention"),
    }

    def __init__(self, in_channels: int = 3, num_classes: int = 3, **arguments: Any) -> None:
        if in_channels < 1:
            raise ConfigError(expected="at least one sequence", found=str(in_channels))
        super().__init__(1, num_classes, **arguments)
        del self.absent  # nothing stands for what is not there
        width = self.embedding.out_features
        self.sequence_vectors = nn.Embedding(in_channels, STAGE_CHANNELS[0])
        self.sequence_weights = nn.Embedding(in_channels, width)
        self.attention = nn.Linear(width, width, bias=False)
        for part in (self.sequence_vectors, self.sequence_weights, self.attention):
            nn.init.zeros_(part.weight)

    def expected_from_file(self) -> tuple[str, ...]:
        """Return the names that weights of an SPPResNet fill: the encoder's and the head's."""
        of_sequences = ("sequence_vectors.", "sequence_weights.", "attention.")
        return tuple(name for name in super().expected_from_file() if not name.startswith(of_sequences))

    def embed(self, image: Tensor, present: Tensor | None = None) -> Tensor:
        """Return the pooled embedding (batch, embedding) of ``image`` (batch, channel, row, column) in [0, 1].

        Raises:
            ConfigError: E_SIZE, these are no pictures, or of other channels than the network; E_MISSING, a sample has
                none of the sequences.
        """
        there = self._there(image, present)
        sequence = torch.nonzero(there)[:, 1]  # of each picture that is there, in the order of image[there]
        seen = self._embedded(image[there][:, None], sequence)
        preferred = self.attention(torch.tanh(seen)) + self.sequence_weights(sequence)
        weights = _spread(preferred, there, -torch.inf).softmax(dim=1)
        return (weights * _spread(seen, there, 0.0)).sum(dim=1)

    def _embedded(self, pictures: Tensor, sequence: Tensor) -> Tensor:
        """Return the embedding (picture, embedding) of pictures (picture, 1, row, column) of the given sequences."""
        told = self.sequence_vectors(sequence)[:, :, None, None]
        x = functional.relu(self.norm1(self.conv1(pictures)) + told)
        return self.embedding(self.pool(self.stage3(self.stage2(self.stage1(x)))))

    def _there(self, image: Tensor, present: Tensor | None) -> Tensor:
        """Return which pictures are there, bool (batch, channel), after checks."""
        channels = self.sequence_vectors.num_embeddings
        if image.dim() != 4 or image.shape[1] != channels:
            raise ConfigError(
                expected=f"pictures of {channels} sequences, (batch, channel, row, column)",
                found="×".join(map(str, image.shape)),
                code="E_SIZE",
            )
        if present is None:
            return torch.ones(image.shape[:2], dtype=torch.bool, device=image.device)
        nothing = int((~present.any(dim=1)).sum())
        if nothing:
            raise ConfigError(
                expected="samples with at least one sequence of the fusion",
                found=f"{nothing} of {len(present)} with none",
                fix="leave those samples out: nothing is known of them",
                code="E_MISSING",
            )
        return present


def _spread(rows: Tensor, there: Tensor, elsewhere: float) -> Tensor:
    """Return ``rows`` (picture, feature) in their places (batch, channel, feature), ``elsewhere`` in all others."""
    places = rows.new_full((*there.shape, rows.shape[1]), elsewhere)
    places[there] = rows
    return places
