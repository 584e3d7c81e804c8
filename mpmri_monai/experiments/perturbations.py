"""Small changes of what a network sees, each a closed form: noise, shading, gain, a shifted mask, adversarial steps.

Images are (sample, channel, row, column) in [0, 1], 0 being the signal of air; ``present`` is bool (sample, channel).
A channel that is not present stays 0, whatever is done to the others. All return new tensors, still in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from monai.transforms import RandRicianNoise
from torch import Tensor
from torch.nn import functional

from mpmri_monai.errors import ConfigError

Loss = Callable[[Tensor], Tensor]
"""From images to the loss of each sample, (sample,)."""

PGD_STEPS = 10
PGD_STRIDE = 2.5
"""Steps of projected gradient ascent, and their total length in radii of the ball (Madry et al. 2018, section 5)."""

ROOM_SLACK_PIXELS = 1e-3
"""A shift that reaches the stored border exactly must not be refused by rounding."""


def rician_noise(images: Tensor, present: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """Return the magnitude of ``images`` with Gaussian noise of SD ``sigma`` on both channels of the receiver.

    M = sqrt((A + n₁)² + n₂²), so that E[M²] = A² + 2σ² and the mean of air is σ·sqrt(π/2) (Gudbjartsson and Patz 1995).
    ``sigma`` is in units of the window that [0, 1] stands for; what exceeds 1 is clipped, as the window does.
    """
    noise = RandRicianNoise(prob=1.0, mean=0.0, std=sigma, sample_std=False)
    noise.set_random_state(seed=int(rng.integers(2**32)))
    return _within(noise(images).as_tensor(), present)


def shading(images: Tensor, present: Tensor, amplitude: float, angles: Tensor) -> Tensor:
    """Return ``images`` times a linear ramp from 1 − ``amplitude`` to 1 + ``amplitude``, the same for every sequence.

    The ramp runs along ``angles`` (sample,), in radians from the direction of a row, and reaches its ends where the
    circle around the image does; a coil's sensitivity is as smooth over a lesion.
    """
    side = images.shape[-1]
    steps = (torch.arange(side, device=images.device, dtype=images.dtype) - (side - 1) / 2) / (
        (side - 1) / math.sqrt(2)
    )
    across, down = torch.cos(angles)[:, None, None] * steps, torch.sin(angles)[:, None, None] * steps[:, None]
    return _within(images * (1 + amplitude * (across + down))[:, None], present)


def gain(images: Tensor, present: Tensor, factor: float) -> Tensor:
    """Return ``images`` times ``factor``: an intensity window that was set by something else than the body."""
    return _within(images * factor, present)


def shifted_crop(images: Tensor, pixels: int, shift_mm: float, angles: Tensor, pitch_mm: Tensor) -> Tensor:
    """Return ``pixels``×``pixels`` crops around centres that lie ``shift_mm`` off: a mask drawn that far away.

    Args:
        images: as stored, larger than ``pixels``.
        pixels: side of the crop.
        shift_mm: length of the shift in the plane.
        angles: (sample,), its direction, in radians from that of a row.
        pitch_mm: (sample,), the size of a pixel.

    Whole pixels are cut as they are; between pixels the crop is interpolated bilinearly.

    Raises:
        ConfigError: a stored crop ends before the shift does.
    """
    side = images.shape[-1]
    room = (side - pixels) / 2
    steps = shift_mm / pitch_mm
    if float(steps.max()) > room + ROOM_SLACK_PIXELS:
        raise ConfigError(
            expected=f"shifts of at most {math.floor(room * float(pitch_mm.min()) * 10) / 10} mm",
            found=f"{shift_mm} mm",
            fix="ask for smaller shifts, or prepare samples with a larger samples#reach",
            code="E_OPTION",
        )
    # grid_sample with align_corners=False: coordinate (2·index + 1)/side − 1 is the centre of pixel ``index``. Float64,
    # as rounded coordinates would blur a crop that is cut between no pixels.
    index = torch.arange(pixels, device=images.device, dtype=torch.float64) + room
    columns = index + (steps * torch.cos(angles))[:, None]
    rows = index + (steps * torch.sin(angles))[:, None]
    x, y = ((2 * place + 1) / side - 1 for place in (columns, rows))
    grid = torch.stack([x[:, None, :].expand(-1, pixels, -1), y[:, :, None].expand(-1, -1, pixels)], dim=-1)
    cut = functional.grid_sample(images.double(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.to(images.dtype)


def fgsm(images: Tensor, present: Tensor, epsilon: float, loss: Loss) -> Tensor:
    """Return ``images`` one step of ``epsilon`` along the sign of the loss's gradient (Goodfellow et al. 2015)."""
    ascent, _ = _ascent(images, loss)
    return _within(images + epsilon * ascent, present)


def pgd(images: Tensor, present: Tensor, epsilon: float, loss: Loss, rng: np.random.Generator) -> Tensor:
    """Return where `PGD_STEPS` signed gradient steps led that never left the ball |x − image| ≤ ``epsilon``.

    They start at a random point of the ball (Madry et al. 2018). Of all points on the way and of FGSM's single step,
    what counts is where each sample's loss was highest, so that this is never the weaker attack of the two.
    """
    worst = fgsm(images, present, epsilon, loss)
    highest = loss(worst).detach()
    uniform = torch.as_tensor(rng.uniform(-1, 1, tuple(images.shape)), dtype=images.dtype, device=images.device)
    moved = _within(images + epsilon * uniform, present)
    for step in range(PGD_STEPS + 1):
        ascent, value = _ascent(moved, loss)
        worst = torch.where((value > highest)[:, None, None, None], moved, worst)
        highest = torch.maximum(value, highest)
        if step < PGD_STEPS:
            stepped = moved + PGD_STRIDE * epsilon / PGD_STEPS * ascent
            moved = _within(torch.clamp(stepped, images - epsilon, images + epsilon), present)
    return worst


def _ascent(images: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return the sign of the gradient of each sample's loss, and the loss (sample,); samples do not see each other."""
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_(True)
        losses = loss(leaf)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return gradient.sign(), losses.detach()


def _within(images: Tensor, present: Tensor) -> Tensor:
    return images.clamp(0, 1) * present[:, :, None, None]
