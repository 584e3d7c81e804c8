"""What bundle configurations call: the running workflow, the cohort's data, the run folder, the end of a run."""

from mpmri_monai.bundle.autoencoder import finish_autoencoder
from mpmri_monai.bundle.cohort_data import CohortData, task
from mpmri_monai.bundle.network import (
    check_device,
    device_ids,
    enough_to_choose_by,
    process_device,
    process_rank,
    start_from,
)
from mpmri_monai.bundle.patch_data import PatchData
from mpmri_monai.bundle.pretraining import check_smoothing, evaluate_pretraining, finish_pretraining
from mpmri_monai.bundle.recipes import (
    check_recipe,
    keeps_best,
    learning_rate,
    loss,
    lr_scheduler,
    optimizer,
    required_sequences,
    standardised,
    unfreezing,
)
from mpmri_monai.bundle.results import check_scoring, evaluate_run, exit_status, finish_training, train
from mpmri_monai.bundle.run_folder import RunFolder, default_output_dir, same_run
from mpmri_monai.bundle.stored_cohort import default_cohort, manifest_of
from mpmri_monai.bundle.workflow import bundle_root, guard
from mpmri_monai.natural import read_images
from mpmri_monai.networks import PatchAutoencoder, SPPResNet, build_network
from mpmri_monai.sequences import channels
from mpmri_monai.training import larger_unless_nan, pin_threads, prepare_batch, seed_everything
from mpmri_monai.training.history import RECONSTRUCTION
from mpmri_monai.training.reconstruction import mean_error

__all__ = [
    "RECONSTRUCTION",
    "CohortData",
    "PatchAutoencoder",
    "PatchData",
    "RunFolder",
    "SPPResNet",
    "build_network",
    "bundle_root",
    "channels",
    "check_device",
    "check_recipe",
    "check_scoring",
    "check_smoothing",
    "default_cohort",
    "default_output_dir",
    "device_ids",
    "enough_to_choose_by",
    "evaluate_pretraining",
    "evaluate_run",
    "exit_status",
    "finish_autoencoder",
    "finish_pretraining",
    "finish_training",
    "guard",
    "keeps_best",
    "larger_unless_nan",
    "learning_rate",
    "loss",
    "lr_scheduler",
    "manifest_of",
    "mean_error",
    "optimizer",
    "pin_threads",
    "prepare_batch",
    "process_device",
    "process_rank",
    "read_images",
    "required_sequences",
    "same_run",
    "seed_everything",
    "standardised",
    "start_from",
    "task",
    "train",
    "unfreezing",
]
