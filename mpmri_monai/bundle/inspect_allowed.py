"""The allow-list: every class, function, constant and attribute that a bundle's configuration may use.

Callables are listed one by one. A package as a whole is never allowed: ``monai`` holds ``bundle.run`` and
``bundle.load``, ``torch`` holds ``load``, ``hub`` and ``os``. Left out on purpose, though bundles of others use them:
what finds classes by name (``LoadImage(reader="os.system")``, ``SaveImage(writer=...)``), what takes pickles
(``PersistentDataset``), what downloads (``pretrained=True``), and what writes where it is told (``CheckpointSaver``).
"""

from __future__ import annotations


def _of(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


_OWN = (
    _of(
        "mpmri_monai.bundle",
        "CohortData PatchAutoencoder PatchData RunFolder SPPResNet build_network bundle_root channels check_device "
        "check_recipe check_scoring check_smoothing default_cohort default_output_dir device_ids enough_to_choose_by "
        "evaluate_pretraining evaluate_run exit_status finish_autoencoder finish_pretraining finish_training guard "
        "keeps_best larger_unless_nan learning_rate loss lr_scheduler manifest_of mean_error optimizer pin_threads "
        "prepare_batch process_device process_rank read_images required_sequences same_run seed_everything "
        "standardised start_from task train unfreezing",
    )
    | _of("mpmri_monai.inference", "AnswerWriter StudyDataset TrainedModel")
    | _of("mpmri_monai.natural", "NaturalDataset NaturalEvaluationLoader NaturalTrainingLoader")
    | _of(
        "mpmri_monai.training",
        "Checkpoint EarlyStop EvaluationLoader GradientClipping GradualUnfreezing History Inferer MacroAUC Progress "
        "SampleDataset Trainer TrainingLoader reconstruction.ReconstructionInferer",
    )
    | _of("mpmri_monai.transforms", "FuseSequencesd batch.Views preprocessing rigid.RigidAugmentation")
)

_MONAI = (
    _of("monai.engines", "SupervisedEvaluator SupervisedTrainer default_prepare_batch")
    | _of("monai.handlers", "EarlyStopHandler LrScheduleHandler StatsHandler ValidationHandler from_engine")
    | _of("monai.inferers", "SimpleInferer SlidingWindowInferer")
    | _of("monai.losses", "DiceCELoss DiceLoss FocalLoss")
    | _of("monai.metrics", "ConfusionMatrixMetric ROCAUCMetric")
    | _of("monai.networks.nets", "AutoEncoder BasicUNet ResNet SegResNet UNet VNet")
    | _of(
        "monai.transforms",
        "Activationsd AsDiscreted CenterSpatialCropd Compose EnsureChannelFirstd EnsureTyped NormalizeIntensityd "
        "Orientationd RandFlipd RandGaussianNoised RandRotate90d RandRotated RandScaleIntensityd RandShiftIntensityd "
        "RandZoomd Resized ResizeWithPadOrCropd ScaleIntensityRanged ScaleIntensityd Spacingd SpatialPadd",
    )
    | _of("monai.utils", "set_determinism")
)

_TORCH = (
    _of("torch", "device cuda.is_available distributed.destroy_process_group distributed.init_process_group")
    | _of("torch.nn", "BCEWithLogitsLoss CrossEntropyLoss L1Loss MSELoss NLLLoss parallel.DistributedDataParallel")
    | _of("torch.optim", "Adam AdamW SGD")
    | _of(
        "torch.optim.lr_scheduler",
        "CosineAnnealingLR ExponentialLR MultiStepLR OneCycleLR ReduceLROnPlateau StepLR",
    )
)

_IGNITE = _of("ignite.metrics", "Accuracy Average ConfusionMatrix Loss MeanAbsoluteError MeanSquaredError")

CALLABLES = frozenset(_OWN | _MONAI | _TORCH | _IGNITE)
"""Dotted names that may be built (``_target_``), called, or handed on as a function."""

SHORT_NAMES = {name.rpartition(".")[2]: name for name in _MONAI}
"""Names that a ``_target_`` may give without their module, as MONAI looks these up in itself, and what they mean."""

BUILTINS = frozenset(("abs", "bool", "dict", "float", "int", "len", "list", "range", "round", "str", "sum", "tuple"))
"""Python's own functions that an expression may call. Not ``max`` and ``min``: of a text they cut one letter out."""

CONSTANTS = frozenset(
    {"mpmri_monai.bundle.RECONSTRUCTION"}
    | _of("torch", "bfloat16 channels_last channels_last_3d float16 float32 int64 uint8")
    | _of("numpy", "float32 int64 uint8")
)
"""Dotted names that may be read."""

_ENGINE = frozenset(
    {
        "additional_metrics",
        "amp",
        "decollate",
        "device",
        "epoch_length",
        "inferer",
        "metric_cmp_fn",
        "network",
        "non_blocking",
        "postprocessing",
        "prepare_batch",
    }
)
_TRAINER = _ENGINE | {
    "key_train_metric",
    "loss_function",
    "max_epochs",
    "optim_set_to_none",
    "optimizer",
    "train_data_loader",
    "train_handlers",
}
ONLY_KEYWORDS = {
    "torch.distributed.init_process_group": frozenset({"backend"}),
    "torch.distributed.destroy_process_group": frozenset(),
    "monai.engines.SupervisedEvaluator": _ENGINE | {"key_val_metric", "mode", "val_data_loader", "val_handlers"},
    "monai.engines.SupervisedTrainer": _TRAINER,
    "mpmri_monai.training.Trainer": _TRAINER | {"checkpoint", "early_stop", "seed"},
}
"""Callables that are harmless with these arguments only; never handed on.

``init_method`` names a host or a file. ``compile_kwargs`` reach ``torch.compile``, whose options name the program that
is started as the compiler.
"""

WRITES_TO = {
    "mpmri_monai.bundle.RunFolder": ("path", 0),
    "mpmri_monai.bundle.evaluate_run": ("run_path", 0),
    "mpmri_monai.bundle.evaluate_pretraining": ("run_path", 0),
    "mpmri_monai.bundle.same_run": ("path", 0),
    "mpmri_monai.bundle.start_from": ("folder", 3),
    "mpmri_monai.training.History": ("path", 0),
    "mpmri_monai.training.Checkpoint": ("folder", 0),
    "mpmri_monai.inference.AnswerWriter": ("folder", 0),
}
"""Callables that write, with the name and the position of the argument that says where. It must be the run's folder."""

ACCESS = {
    "mpmri_monai.bundle.CohortData": "reads the cohort's images, keeps samples in the cache, may start processes",
    "mpmri_monai.bundle.PatchData": "reads the cohort's images, keeps samples in the cache, may start processes",
    "mpmri_monai.bundle.RunFolder": "makes and writes the run's folder",
    "mpmri_monai.bundle.evaluate_pretraining": "writes results into the run's folder",
    "mpmri_monai.bundle.evaluate_run": "writes results into the run's folder",
    "mpmri_monai.bundle.finish_autoencoder": "writes weights into the run's folder",
    "mpmri_monai.bundle.finish_pretraining": "writes weights into the run's folder",
    "mpmri_monai.bundle.finish_training": "writes weights and results into the run's folder",
    "mpmri_monai.bundle.read_images": "reads the images of a named data set",
    "mpmri_monai.bundle.start_from": "reads weights (tensors only), writes a report into the run's folder",
    "mpmri_monai.inference.AnswerWriter": "writes answers into the output folder",
    "mpmri_monai.inference.StudyDataset": "reads the study",
    "mpmri_monai.inference.TrainedModel": "reads weights (tensors only) and the reference of the bundle",
    "mpmri_monai.training.Checkpoint": "writes checkpoints into the run's folder, reads them again",
    "mpmri_monai.training.History": "writes a table into the run's folder",
    "torch.distributed.init_process_group": "opens network connections between the processes of one training",
}
"""What listed callables do to files, processes and the network."""

ATTRIBUTES = frozenset(
    (
        "classes",
        "eval",
        "fusion",
        "images",
        "inferer",
        "layer_names",
        "manifest",
        "model",
        "network",
        "parameters",
        "path",
        "release",
        "run",
        "samples",
        "seen_size",
        "sequences",
        "settings",
        "shape",
        "task",
        "to",
        "train",
        "train_labels",
    )
)
"""Attributes and methods that may be reached on an object that a listed callable made."""

PRESET = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
"""Names that MONAI gives to every expression."""


def _packages(names: frozenset[str]) -> frozenset[str]:
    parts = (name.split(".")[:-1] for name in names)
    return frozenset(".".join(part[:length]) for part in parts for length in range(1, len(part) + 1))


MODULES = _packages(CALLABLES | CONSTANTS)
"""Modules that may be imported: those that hold something listed, and the packages above them."""
