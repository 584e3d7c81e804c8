"""Training throughput on 3D crops: this project's loader and engine against bare loops on tensors in memory.

    python benchmarks/volumes.py                # on two CPU threads
    python benchmarks/volumes.py --device cuda  # on a GPU

The one bare loop moves every crop as the project's loader does, the other trains on crops that are cut beforehand.
Absolute times depend on the machine and its load; the ratios compare what ran in turn in the same minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from monai.utils import set_determinism
from rich.console import Console
from rich.table import Table

from mpmri_monai.networks import build_network
from mpmri_monai.samples import Settings
from mpmri_monai.training import Checkpoint, EarlyStop, History, SampleData, SampleDataset, Trainer, TrainingLoader
from mpmri_monai.transforms.batch import centre_crop
from mpmri_monai.transforms.rigid import RigidAugmentation

BATCH = 16
GRIDS = {
    "25×25×4, 2 × 16 filters": ({"slices": 4, "pixels": 25}, 40, 32),
    "28×28×28, 2 × 16 filters": ({"slices": 28, "pixels": 28}, 24, 16),
}
"""The sample grid, and how many samples and copies of each an epoch has."""

Epoch = Callable[[], None]


def _samples(count: int, stored: tuple[int, ...]) -> SampleData:
    rng = np.random.default_rng(0)
    return SampleData(
        image=rng.random((count, 1, *stored), dtype=np.float32),
        present=np.ones((count, 1), bool),
        label=(np.arange(count) % 2).astype(np.int64),
        extent_mm=np.full(count, 12, np.float32),
        table=pd.DataFrame(index=range(count)),
    )


def _learner(size: tuple[int, ...], device: str) -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.nn.Module]:
    network = build_network("mctl", in_channels=1, num_classes=2, size=size).to(device)
    return network, torch.optim.Adam(network.parameters(), 1e-3), torch.nn.CrossEntropyLoss()


def _ours(data: SampleData, moving: RigidAugmentation, device: str, folder: Path) -> Epoch:
    network, optimizer, loss = _learner(moving.size, device)
    history = History(folder / "history.csv")
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    trainer = Trainer(
        max_epochs=1,
        device=device,
        train_data_loader=TrainingLoader(SampleDataset(data, device), BATCH, moving),
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        checkpoint=Checkpoint(folder, network, optimizer, schedule, history),
        early_stop=EarlyStop(history),
    )

    def epoch() -> None:
        trainer.state.max_epochs = trainer.state.epoch + 1
        trainer.run()

    return epoch


def _bare(data: SampleData, moving: RigidAugmentation, device: str, moved: bool) -> Epoch:
    network, optimizer, loss = _learner(moving.size, device)
    images, labels = torch.as_tensor(data.image, device=device), torch.as_tensor(data.label, device=device)
    present = torch.as_tensor(data.present, device=device)
    images = images if moved else centre_crop(images, moving.size).contiguous()
    generator = torch.Generator().manual_seed(0)

    def epoch() -> None:
        network.train()
        angles = moving.variants(len(labels), generator).flatten()
        for visits in torch.randperm(len(angles), generator=generator).split(BATCH):
            samples = visits // moving.visits
            optimizer.zero_grad(set_to_none=True)
            batch = moving(images[samples], angles[visits], generator) if moved else images[samples]
            loss(network(batch, present[samples]), labels[samples]).backward()
            optimizer.step()

    return epoch


def measure(grid: dict[str, int], count: int, copies: int, device: str, rounds: int) -> dict[str, float]:
    """Return our median samples/s, and the median ratios against the bare loops with and without moved crops."""
    set_determinism(seed=0)
    settings = Settings(grid=grid)
    data, moving = _samples(count, settings.stored_shape), RigidAugmentation(settings.size, copies)
    with tempfile.TemporaryDirectory() as folder:
        epochs = {
            "ours": _ours(data, moving, device, Path(folder)),
            "moved": _bare(data, moving, device, moved=True),
            "cut": _bare(data, moving, device, moved=False),
        }
        seconds: dict[str, list[float]] = {name: [] for name in epochs}
        for turn in range(rounds + 1):
            for name, epoch in epochs.items():
                start = time.perf_counter()
                epoch()
                if "cuda" in device:
                    torch.cuda.synchronize()
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - start)
    ratios = {
        name: median(bare / ours for ours, bare in zip(seconds["ours"], seconds[name], strict=True))
        for name in ("moved", "cut")
    }
    return {"samples_per_s": count * copies / median(seconds["ours"]), **ratios}


def main() -> int:
    """Measure, print the table, and return 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="where the networks are trained")
    parser.add_argument("--rounds", type=int, default=3, help="paired measurements after one to warm up")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(
        "crops and network", "samples/s", "÷ bare loop", "÷ bare loop, crops cut beforehand", "promise", "kept"
    )
    kept = True
    for name, (grid, count, copies) in GRIDS.items():
        found = measure(grid, count, copies, options.device, options.rounds)
        kept &= found["moved"] >= 0.9
        numbers = (f"{found['samples_per_s']:.0f}", f"{found['moved']:.2f}", f"{found['cut']:.2f}")
        table.add_row(name, *numbers, "≥ 0.9 (first)", "yes" if found["moved"] >= 0.9 else "no")
    table.title = f"{options.device}, median of {options.rounds} rounds"
    Console().print(table)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
