"""Why a network answered as it did: where it looked, what it would say without a part, and how steady it is."""

from mpmri_monai.explain.explanation import Explanation, explain
from mpmri_monai.explain.grad_cam import grad_cam, last_convolution
from mpmri_monai.explain.leave_out import importance
from mpmri_monai.explain.occlusion import occlusion
from mpmri_monai.explain.variants import agreement, variants

__all__ = [
    "Explanation",
    "agreement",
    "explain",
    "grad_cam",
    "importance",
    "last_convolution",
    "occlusion",
    "variants",
]
