"""What Jia et al. reported, as data: the models of their tables 4 to 7 with their numbers.

X. Jia, Y. Xiao, D. Yang, Z. Yang, K. Lu: Multi-parametric MRIs based assessment of hepatocellular carcinoma
differentiation with multi-scale ResNet. KSII TIIS 13(10):5179-5196, 2019, doi 10.3837/tiis.2019.10.020.

The numbers are no targets: samples of one patient lie on both sides of their splits, the test set chose the epoch, and
stored augmented copies were scored as samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpmri_monai.sequences import PAPER_FUSIONS, fusion, fusion_name

SOURCE = "Jia et al., KSII TIIS 13(10), 2019, doi 10.3837/tiis.2019.10.020"

REPEATS = 10
"""Repetitions in the paper."""

RECIPE = {
    "max_epochs": 30,
    "batch_size": 16,
    "views": 6,
    "jitter": 2,
    "weight_decay": 1e-4,
    "recipe": "paper",
    "init": "he",
    "finetune_depth": 12,
    "unfreeze_every": 0,
    "balance": "none",
    "head": "network",
    "architecture": "spp_resnet",
    "same_task": None,
    "keep_statistics": False,
    "sequence_dropout": 0.0,
    "required_sequences": "auto",
    "averaging": False,
    "levels": [1, 2],
    "dropout": 0.0,
    "size_feature": False,
    "embedding_relu": False,
    "patience": 0,
    "val_interval": 1,
}
"""What all models of the paper share: Adam with steps of ×0.1 every ten epochs, all layers tuned, batches of 16, six
views of each sample an epoch, random crops from 36 to 32 pixels. The classifier is linear in the embedding, as in the
authors' code. The pyramid is 1×1 and 2×2 as the text says; the code adds 3×3 when it trains from scratch, which would
change the network together with its start."""

LEARNING_RATE = {"scratch": 1e-3, "pretrained": 5e-4}


@dataclass(frozen=True)
class Model:
    """One network of the paper.

    Attributes:
        task: ``hcc_vs_bg`` or ``hcc_grade``.
        fusion: canonical name of the sequences used as channels.
        pooling: ``gap`` (the paper's ResNet) or ``spp`` (ResNet+SPP).
        embedding: width of the layer before the classifier.
        start: ``scratch`` or ``pretrained``.
    """

    task: str
    fusion: str
    pooling: str
    embedding: int
    start: str

    @property
    def name(self) -> str:
        """A name that is safe as a folder's."""
        return f"{self.task}-{self.fusion}-{self.pooling}{self.embedding}-{self.start}"

    @property
    def network(self) -> str:
        """The network in the paper's words."""
        text = "ResNet20" + ("+SPP" if self.pooling == "spp" else "")
        return f"{text} {self.embedding}-d" + (", pretrained" if self.start == "pretrained" else "")


@dataclass(frozen=True)
class Row:
    """One row of one table: a model under the paper's name of its sequences, and what was reported of it.

    Attributes:
        model: the network.
        fusion: the paper's name of the fusion.
        values: (mean, SD over repetitions, or None where none was transcribed) by our name of the metric.
    """

    model: Model
    fusion: str
    values: Mapping[str, tuple[float, float | None]]

    @property
    def name(self) -> str:
        """Sequences and network in the paper's words."""
        return f"{self.fusion}, {self.model.network}"


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: in the paper.
        title: what it compares.
        metrics: our names of the metrics that it reports, with the paper's names.
        rows: in the paper's order.
        note: what has to be known of it.
    """

    number: int
    title: str
    metrics: Mapping[str, str]
    rows: tuple[Row, ...]
    note: str

    @property
    def task(self) -> str:
        return self.rows[0].model.task


def _row(task: str, name: str, pooling: str, embedding: int, start: str, **values: float | tuple[float, float]) -> Row:
    sequences = fusion_name(fusion(PAPER_FUSIONS.get(name, name)))
    pairs = {metric: value if isinstance(value, tuple) else (value, None) for metric, value in values.items()}
    return Row(Model(task, sequences, pooling, embedding, start), name, pairs)


_SEQUENCES_4 = {
    "T2": 0.891, "S0": 0.941, "S1": 0.847, "S2": 0.917, "S3": 0.898, "S4": 0.857, "S5": 0.869,
    "T211*": 0.857, "T2S24": 0.897, "S024": 0.961, "T2S02": 0.974,
}  # fmt: skip

_FUSIONS_6 = {"T211*": (0.699, 0.681), "T2S24": (0.697, 0.706), "S024": (0.716, 0.724), "T21*S4": (0.766, 0.777)}

_WIDTHS_7 = {2: (0.777, 0.636), 16: (0.828, 0.697), 32: ((0.847, 0.023), 0.737), 64: (0.836, 0.704)}

TABLE_4 = Table(
    4,
    "HCC against background: single sequences and fusions",
    {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"},
    tuple(_row("hcc_vs_bg", name, "gap", 2, "scratch", accuracy=value) for name, value in _SEQUENCES_4.items()),
    "The paper's SDs lie between .000 and .023. Its column AUC is (sensitivity + specificity)/2, that is, the balanced "
    "accuracy. A single sequence is one channel here.",
)

TABLE_5 = Table(
    5,
    "HCC against background: pooling and pretraining, T2S02",
    {"accuracy": "accuracy", "auc_hcc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"},
    (
        _row("hcc_vs_bg", "T2S02", "gap", 2, "scratch", accuracy=0.974, auc_hcc=0.991),
        _row("hcc_vs_bg", "T2S02", "spp", 2, "scratch", accuracy=0.968, auc_hcc=0.990),
        _row("hcc_vs_bg", "T2S02", "gap", 2, "pretrained", accuracy=0.975, auc_hcc=0.993),
        _row(
            "hcc_vs_bg", "T2S02", "spp", 2, "pretrained",
            accuracy=(0.981, 0.002), auc_hcc=0.999, sensitivity=0.983, specificity=0.991,
        ),
    ),
    "The first row is the model of table 4's last row: it is trained once.",
)  # fmt: skip

TABLE_6 = Table(
    6,
    "Grade: fusions, from scratch and pretrained",
    {"accuracy": "accuracy", "macro_recall": "recall", "macro_precision": "precision", "macro_f1": "F1"},
    tuple(
        _row("hcc_grade", name, "spp", 2, start, accuracy=value)
        for name, values in _FUSIONS_6.items()
        for start, value in zip(("scratch", "pretrained"), values, strict=True)
    ),
    "Recall, precision and F1 are means over the three grades.",
)

TABLE_7 = Table(
    7,
    "Grade: width of the embedding, T21*S4",
    {"accuracy": "accuracy", "macro_f1": "F1"},
    tuple(
        row
        for width, (accuracy, f1) in _WIDTHS_7.items()
        for row in (
            _row("hcc_grade", "T21*S4", "spp", width, "scratch"),
            _row("hcc_grade", "T21*S4", "spp", width, "pretrained", accuracy=accuracy, macro_f1=f1),
        )
    ),
    "The paper reports pretrained networks only; those from scratch stand beside them here.",
)

TABLES = (TABLE_4, TABLE_5, TABLE_6, TABLE_7)

DETECTOR = _row("hcc_vs_bg", "T2S02", "gap", 2, "scratch").model
DETECTOR_SPP = _row("hcc_vs_bg", "T2S02", "spp", 2, "scratch").model
GRADER = _row("hcc_grade", "T21*S4", "spp", 2, "scratch").model
"""The models from scratch that the figures over epochs, of ROC curves and of two-dimensional embeddings show."""


def models(tables: tuple[Table, ...] = TABLES) -> tuple[Model, ...]:
    """Return the models of ``tables``, each once, in their order."""
    return tuple(dict.fromkeys(row.model for table in tables for row in table.rows))
