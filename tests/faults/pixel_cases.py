"""Pixels: how values are stored, rescaled and compressed."""

from __future__ import annotations

import functools

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from faults.builder import Grid, Study, Volume, private, volume
from faults.case import case
from faults.enhanced import frame_pixels

pixels = functools.partial(case, "Pixels")
compression = functools.partial(case, "Compression")
LARGE = Grid(rows=40, columns=36)
"""Images large enough for the levels of JPEG 2000."""


@pixels()
def rescale_differs_from_slice_to_slice(study: Study) -> None:
    """RescaleSlope from 1.1 to 1.8."""
    study.add(volume(scale=[1.1 + 0.1 * k for k in range(8)]))


@pixels()
def signed_with_intercept(study: Study) -> None:
    """Signed values and a negative intercept."""
    study.add(volume(PixelRepresentation=1, RescaleSlope=1, RescaleIntercept=-500))


@pixels(refused="E_RESCALE")
def rescale_slope_zero(study: Study) -> None:
    """A slope of 0 would wipe out the image."""
    study.add(volume(RescaleSlope=0, RescaleIntercept=0), expected=False)


@pixels()
def twelve_of_sixteen_bits_with_an_overlay(study: Study) -> None:
    """The four bits above the stored ones hold an overlay."""
    study.add(stack := volume(BitsStored=12, HighBit=11))
    for image in stack.images:
        stored = np.frombuffer(image.PixelData, "<u2").copy()
        stored[::3] |= 0x8000
        image.PixelData = stored.tobytes()


@pixels()
def eight_bits(study: Study) -> None:
    """Values of one byte."""
    study.add(stack := volume(BitsAllocated=8, BitsStored=8, HighBit=7))
    for k, image in enumerate(stack.images):
        plane = (np.arange(image.Rows * image.Columns).reshape(image.Rows, image.Columns) + 5 * k) % 251
        stack.truth.signal[k] = plane
        image.PixelData = plane.astype(np.uint8).tobytes()


@pixels(refused="E_PIXELS")
def fewer_rows_than_pixels(study: Study) -> None:
    """Rows is 4 too small in every image, so that the rest of each would be dropped."""
    study.add(stack := volume(), expected=False)
    for image in stack.images:
        image.Rows -= 4


@pixels(refused="E_PIXELS")
def inverted_display(study: Study) -> None:
    """MONOCHROME1: whether the values are inverted signal cannot be known."""
    study.add(volume(PhotometricInterpretation="MONOCHROME1"), expected=False)


@pixels(refused="E_RESCALE")
def rescale_missing_from_one_image(study: Study) -> None:
    """One of eight images lacks the slope and intercept that the others have."""
    study.add(stack := volume(scale=(1.5,)), expected=False)
    del stack.images[3].RescaleSlope, stack.images[3].RescaleIntercept


@pixels(refused="E_PIXELS")
def floating_point_pixels(study: Study) -> None:
    """FloatPixelData in place of PixelData."""
    study.add(stack := volume(), expected=False)
    for image in stack.images:
        image.FloatPixelData = np.frombuffer(image.PixelData, "<u2").astype("<f4").tobytes()
        image.BitsAllocated = image.BitsStored = 32
        image.HighBit = 31
        del image.PixelData


@pixels()
def a_colour_picture_in_the_series(study: Study) -> None:
    """A screen picture with colours, of class MR Image, in a series of its own is left out."""
    study.add(volume())
    picture = volume(series=9).images[0]
    picture.SamplesPerPixel, picture.PhotometricInterpretation, picture.PlanarConfiguration = 3, "RGB", 0
    picture.BitsAllocated = picture.BitsStored = 8
    picture.HighBit = 7
    picture.PixelData = bytes(3 * picture.Rows * picture.Columns)
    study.images.append(picture)


@pixels()
def padding_after_the_pixels(study: Study) -> None:
    """The pixel element is longer than the image."""
    study.add(stack := volume())
    for image in stack.images:
        image.PixelData += b"\0" * 64


@pixels()
def big_endian(study: Study) -> None:
    """The retired big-endian transfer syntax."""
    study.add(stack := volume())
    for image in stack.images:
        image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()


@pixels()
def Philips_scaling(study: Study) -> None:
    """Philips' scale slope differs from slice to slice; the comparable signal is stored * RS / (RS * SS)."""
    slopes = [1.0 + 0.25 * k for k in range(8)]
    study.add(stack := volume(Manufacturer="Philips Medical Systems", scale=slopes))
    for k, image in enumerate(stack.images):
        private(image, 0x2005, "Philips MR Imaging DD 001", 0x0E, "FL", 0.5 / slopes[k])
        stack.truth.signal[k] /= slopes[k] * float(np.float32(0.5 / slopes[k]))


# -- compression --------------------------------------------------------------


def compressed(syntax: str, plugin: str = "") -> Volume:
    """A volume whose images are compressed."""
    stack = volume(grid=LARGE)
    for image in stack.images:
        image.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return stack


@compression()
def run_length_encoded(study: Study) -> None:
    """RLE."""
    study.add(compressed(RLELossless))


@compression()
def JPEG_2000(study: Study) -> None:
    """JPEG 2000 lossless."""
    study.add(compressed(JPEG2000Lossless, "pylibjpeg"))


@compression()
def JPEG_LS(study: Study) -> None:
    """JPEG-LS lossless."""
    study.add(compressed(JPEGLSLossless))


@compression()
def JPEG_lossless(study: Study) -> None:
    """JPEG lossless (process 14, selection value 1), the common syntax of PACS."""
    study.add(stack := volume(grid=LARGE))
    for image in stack.images:
        image.PixelData = encapsulate([_jpeg_lossless(frame_pixels([image])[0])])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = JPEGLosslessSV1


@compression()
def some_slices_compressed(study: Study) -> None:
    """Half of the slices are compressed, half are not."""
    study.add(stack := volume(grid=LARGE))
    for image in stack.images[::2]:
        image.compress(RLELossless, generate_instance_uid=False)


@compression(refused="E_CODEC")
def a_compression_that_nothing_decodes(study: Study) -> None:
    """MPEG-2, which is no way to store slices."""
    study.add(stack := volume(), expected=False)
    for image in stack.images:
        image.PixelData = encapsulate([b"\0\0\1\xb3" + bytes(60)])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = MPEG2MPML


@compression(refused="E_HEADER")
def deflated(study: Study) -> None:
    """Deflated data sets, which are not read because they have to be inflated whole."""
    study.add(stack := volume(), expected=False)
    for image in stack.images:
        image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def _jpeg_lossless(plane: np.ndarray) -> bytes:
    """Encode 16-bit values by JPEG process 14 with the left neighbour as predictor (ITU T.81, annex H).

    Every difference category has a Huffman code of five bits, which is allowed and simple.
    """
    rows, columns = plane.shape
    values = plane.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = values[:, :-1], values[:-1, 0], 1 << 15
    bits = []
    for difference in (values - predicted).ravel().tolist():
        size = abs(difference).bit_length()
        bits.append(f"{size:05b}")
        if size:
            bits.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = b"\x10" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    table = b"\x00" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    parts = ((b"\xff\xc3", frame), (b"\xff\xc4", table), (b"\xff\xda", b"\x01\x01\x00\x01\x00\x00"))
    segments = b"".join(marker + (len(body) + 2).to_bytes(2, "big") + body for marker, body in parts)
    return b"\xff\xd8" + segments + scan + b"\xff\xd9"
