"""Training throughput: this project's loader and engine, a bare PyTorch loop, and stock MONAI, in turn in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from monai.data import CacheDataset, DataLoader, NumpyReader
from monai.engines import SupervisedTrainer
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandFlipd,
    RandRotate90d,
    RandSpatialCropd,
    ScaleIntensityd,
)
from monai.utils import set_determinism

from mpmri_monai.networks import SPPResNet
from mpmri_monai.training import Checkpoint, EarlyStop, History, SampleData, SampleDataset, Trainer, TrainingLoader
from mpmri_monai.transforms.batch import Views, augment

SAMPLES, BATCH, VIEWS = 160, 16, 6


def _samples() -> SampleData:
    rng = np.random.default_rng(0)
    return SampleData(
        image=rng.random((SAMPLES, 3, 52, 52), dtype=np.float32),
        present=np.ones((SAMPLES, 3), bool),
        label=(np.arange(SAMPLES) % 3).astype(np.int64),
        extent_mm=np.full(SAMPLES, 25, np.float32),
        table=pd.DataFrame(index=range(SAMPLES)),
    )


def _learner(device: str) -> tuple[SPPResNet, torch.optim.Optimizer, torch.nn.Module]:
    network = SPPResNet().to(device)
    return network, torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-4), torch.nn.CrossEntropyLoss()


def _ours(data: SampleData, device: str, folder: Path) -> Callable[[], int]:
    network, optimizer, loss = _learner(device)
    history = History(folder / "history.csv")
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    trainer = Trainer(
        max_epochs=1,
        device=device,
        train_data_loader=TrainingLoader(SampleDataset(data, device), BATCH, Views(VIEWS)),
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        checkpoint=Checkpoint(folder, network, optimizer, schedule, history),
        early_stop=EarlyStop(history),
    )

    def epoch() -> int:
        trainer.state.max_epochs = trainer.state.epoch + 1
        trainer.run()
        return SAMPLES * VIEWS

    return epoch


def _bare(data: SampleData, device: str) -> Callable[[], int]:
    network, optimizer, loss = _learner(device)
    images, labels = torch.as_tensor(data.image, device=device), torch.as_tensor(data.label, device=device)
    generator = torch.Generator().manual_seed(0)

    def epoch() -> int:
        network.train()
        order = torch.randperm(SAMPLES * VIEWS, generator=generator)
        for chosen in order.split(BATCH):
            samples, views = chosen // VIEWS, chosen % VIEWS
            optimizer.zero_grad(set_to_none=True)
            batch = augment(images[samples], views, 32, 2, generator)
            loss(network(batch), labels[samples]).backward()
            optimizer.step()
        return SAMPLES * VIEWS

    return epoch


def _stock(data: SampleData, device: str, folder: Path) -> Callable[[], int]:
    """The usual MONAI way: files loaded and normalised once into a CacheDataset, the rest per sample, all defaults."""
    network, optimizer, loss = _learner(device)
    items = []
    for index, (image, label) in enumerate(zip(data.image, data.label, strict=True)):
        np.save(folder / f"{index}.npy", image)
        items.append({"image": str(folder / f"{index}.npy"), "label": label})
    transform = Compose(
        [
            LoadImaged("image", reader=NumpyReader(channel_dim=0)),
            EnsureChannelFirstd("image"),
            ScaleIntensityd("image"),
            CenterSpatialCropd("image", (36, 36)),
            RandRotate90d("image", prob=0.75, max_k=3),
            RandFlipd("image", prob=0.5, spatial_axis=0),
            RandSpatialCropd("image", (32, 32), random_size=False),
        ]
    )
    loader = DataLoader(CacheDataset(items * VIEWS, transform, progress=False), batch_size=BATCH, shuffle=True)
    trainer = SupervisedTrainer(
        device=torch.device(device),
        max_epochs=0,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=loss,
    )

    def epoch() -> int:
        trainer.state.max_epochs = trainer.state.epoch + 1
        trainer.run()
        return SAMPLES * VIEWS

    return epoch


def measure(device: str = "cpu", rounds: int = 5) -> dict[str, float]:
    """Return the median ratios of samples/s against the bare loop and against stock MONAI, and our median samples/s."""
    set_determinism(seed=0)
    data = _samples()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        epochs = {"ours": _ours(data, device, place), "bare": _bare(data, device), "stock": _stock(data, device, place)}
        speeds: dict[str, list[float]] = {name: [] for name in epochs}
        for turn in range(rounds + 1):
            for name, epoch in epochs.items():
                start = time.perf_counter()
                count = epoch()
                if "cuda" in device:
                    torch.cuda.synchronize()
                if turn:  # the first round warms up
                    speeds[name].append(count / (time.perf_counter() - start))
    pairs = list(zip(speeds["ours"], speeds["bare"], speeds["stock"], strict=True))
    return {
        "samples_per_s": median(speeds["ours"]),
        "against_bare": median(ours / bare for ours, bare, _ in pairs),
        "against_stock": median(ours / stock for ours, _, stock in pairs),
    }
