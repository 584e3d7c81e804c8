from types import SimpleNamespace

import numpy as np
from PIL import Image

from mpmri_monai.natural import draw_embeddings


def test_each_class_is_drawn_where_its_images_are(tmp_path):
    labels = np.arange(400) % 2
    points = np.random.default_rng(0).normal(size=(400, 2)) + np.where(labels, 20, -20)[:, None]
    points[0] = 1e6  # a far one does not squeeze the others
    images = SimpleNamespace(name="two", classes=("a", "b"), test_labels=labels)
    draw_embeddings(points, images, tmp_path / "figures" / "embeddings.png")
    with Image.open(tmp_path / "figures" / "embeddings.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    red, blue = pixels[..., 0] - pixels[..., 2] > 100, pixels[..., 2] - pixels[..., 0] > 60
    rows, columns = (np.nonzero(red)[axis].mean() / pixels.shape[axis] for axis in (0, 1))
    assert rows < 0.4 and columns > 0.6  # C1, orange: above and on the right
    rows, columns = (np.nonzero(blue)[axis].mean() / pixels.shape[axis] for axis in (0, 1))
    assert rows > 0.6 and columns < 0.4
