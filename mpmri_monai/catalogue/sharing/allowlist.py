"""What a de-identified file may hold: everything that is not listed here is left out.

Listed is what this package reads, and what a file must have so that other software can read it. The kinds say what
happens to a value: numbers stay when they are numbers, codes when they are words of a known vocabulary, UIDs and times
are replaced, and free text never passes. Sequences are searched by the same list.
"""

from __future__ import annotations

import re
from enum import Enum

from pydicom.datadict import tag_for_keyword

from mpmri_monai.catalogue.headers import vendors
from mpmri_monai.catalogue.headers.image_kinds import DIXON, MAPS
from mpmri_monai.catalogue.series.sorting import PROJECTIONS


class Kind(Enum):
    """How the value of an element is treated."""

    NUMBER = "kept when it is a number"
    UID = "kept when the standard defines it, else replaced by a keyed hash"
    TIME = "moved by the patient's offset"
    CODE = "kept when it is a known word, else replaced by a neutral one"
    SEQUENCE = "its items are treated by the same list"


_KEYWORDS = {
    Kind.NUMBER: """
        SeriesNumber AcquisitionNumber FrameAcquisitionNumber InstanceNumber
        TemporalPositionIdentifier NumberOfTemporalPositions
        TemporalPositionIndex StackID InStackPositionNumber TriggerTime NominalCardiacTriggerDelayTime
        TemporalPositionTimeOffset
        EchoTime EffectiveEchoTime EchoNumbers RepetitionTime InversionTime InversionTimes FlipAngle DiffusionBValue
        ImagingFrequency TransmitterFrequency MagneticFieldStrength
        ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices
        NumberOfFrames Rows Columns SamplesPerPixel PlanarConfiguration BitsAllocated BitsStored HighBit
        PixelRepresentation RescaleSlope RescaleIntercept WindowCenter WindowWidth LossyImageCompressionRatio
        DimensionIndexPointer FunctionalGroupPointer DimensionIndexValues
        SegmentNumber ReferencedSegmentNumber ReferencedFrameNumber MaximumFractionalValue
        RecommendedDisplayCIELabValue
        ROINumber ReferencedROINumber ObservationNumber ROIDisplayColor
        ContourNumber NumberOfContourPoints ContourData
        """,
    Kind.UID: """
        SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
        ReferencedSOPClassUID ReferencedSOPInstanceUID ReferencedFrameOfReferenceUID
        DimensionOrganizationUID ConcatenationUID TrackingUID
        """,
    Kind.TIME: """
        StudyDate StudyTime SeriesDate SeriesTime AcquisitionDate AcquisitionTime AcquisitionDateTime
        ContentDate ContentTime FrameAcquisitionDateTime FrameReferenceDateTime ContrastBolusStartTime
        StructureSetDate StructureSetTime
        """,
    Kind.CODE: """
        Modality ImageType FrameType ScanningSequence ScanOptions MRAcquisitionType ComplexImageComponent
        EchoPulseSequence EchoPlanarPulseSequence InversionRecovery
        SpectrallySelectedSuppression SpectrallySelectedExcitation PixelPresentation VolumetricProperties
        PhotometricInterpretation LossyImageCompression LossyImageCompressionMethod BurnedInAnnotation
        ContrastBolusAgentAdministered DiffusionDirectionality
        DimensionOrganizationType
        SegmentationType SegmentationFractionalType SegmentAlgorithmType SegmentsOverlap
        ContourGeometricType ROIGenerationAlgorithm RTROIInterpretedType
        """,
    Kind.SEQUENCE: """
        SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence FrameContentSequence
        PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence PixelValueTransformationSequence
        FrameVOILUTSequence CardiacSynchronizationSequence TemporalPositionSequence
        MRImageFrameTypeSequence MRTimingAndRelatedParametersSequence MREchoSequence MRModifierSequence
        MRImagingModifierSequence MRDiffusionSequence ContrastBolusAgentSequence
        UnassignedSharedConvertedAttributesSequence UnassignedPerFrameConvertedAttributesSequence
        DimensionOrganizationSequence DimensionIndexSequence
        ReferencedSeriesSequence ReferencedInstanceSequence ReferencedImageSequence ReferencedStudySequence
        StudiesContainingOtherReferencedInstancesSequence SourceImageSequence
        DerivationImageSequence DerivationCodeSequence PurposeOfReferenceCodeSequence
        SegmentSequence SegmentIdentificationSequence SegmentedPropertyCategoryCodeSequence
        SegmentedPropertyTypeCodeSequence
        ReferencedFrameOfReferenceSequence RTReferencedStudySequence RTReferencedSeriesSequence ContourImageSequence
        StructureSetROISequence ROIContourSequence ContourSequence RTROIObservationsSequence
        """,
}


def tag_of(keyword: str) -> int:
    """Tag of an attribute of the standard."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


KINDS: dict[int, Kind] = {tag_of(keyword): kind for kind, keywords in _KEYWORDS.items() for keyword in keywords.split()}
"""Kinds of the elements that are kept, by tag."""

PRIVATE = frozenset(
    [
        *vendors.DYNAMICS,
        *vendors.B_VALUES,
        *vendors.STACK_SIZES,
        *vendors.SHEETS,
        *vendors.GE_ECHOES,
        vendors.GE_DIRECTION,
        (*vendors.GE_ACQUISITION, 0x17),
        (*vendors.GE_PARAMETERS, 0x2F),
        (*vendors.PHILIPS_MR, 0x0E),
        (0x2005, "Philips MR Imaging DD 005", 0x0F),
    ]
)
"""Group, creator and element of the private numbers that are kept; the last is Philips' sequence for each frame, whose
items are treated by this list."""

LABELS = (
    ("SegmentLabel", "SegmentNumber", "Segment"),
    ("ROIName", "ROINumber", "ROI"),
    ("ContentLabel", None, "SEGMENTATION"),
    ("StructureSetLabel", None, "CONTOURS"),
)
"""Labels that readers expect, the attribute that numbers them, and the word that takes the place of their text."""

EMPTY = ("AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex", "StudyID")
"""Elements that the standard wants to be there and allows to be empty."""

_WORDS = """
MR SEG RTSTRUCT
ORIGINAL PRIMARY DERIVED SECONDARY OTHER NONE MIXED AXIAL LOCALIZER MOSAIC GRID
SE IR GR EP RM 1D 2D 3D SPIN GRADIENT BOTH YES NO FS FAT WATER FAT_AND_WATER SILICON_GEL
M P R I MAGNITUDE PHASE REAL IMAGINARY M_FFE M_SE M_IR P_FFE P_SE R_FFE I_FFE FFE
ND NORM DIS2D DIS3D DIS3D2D FIL MFSPLIT MEAN T1 T2 T2_STAR DIXON DIFFUSION TRACE TRACEW ADC CALC_BVALUE
VOLUME DISTORTED SAMPLED ISOTROPIC DIRECTIONAL BMATRIX MONOCHROME MONOCHROME1 MONOCHROME2 COLOR RGB 00 01
ISO_15444_1 ISO_14495_1 ISO_10918_1
BINARY FRACTIONAL LABELMAP PROBABILITY OCCUPANCY AUTOMATIC SEMIAUTOMATIC MANUAL UNDEFINED 3D_TEMPORAL_POSITION
POINT OPEN_PLANAR OPEN_NONPLANAR CLOSED_PLANAR CLOSEDPLANAR_XOR ORGAN GTV CTV PTV AVOIDANCE EXTERNAL
"""
WORDS = frozenset([*_WORDS.split(), *DIXON, *MAPS, *(word.upper().replace(" ", "_") for word in PROJECTIONS)])
"""Codes that pass, in capitals and with underscores for blanks."""
SUBTRACTION = "SUB"
"""Beginning of the words for subtraction images; vendors end them in many ways."""
SCREENS = ("SCREEN", "CAPTURE")
"""Parts of the values of ImageType for pictures of a screen, which vendors spell in many ways."""

CODING_SCHEMES = {
    "SCT": re.compile(r"\d{6,18}"),
    "SRT": re.compile(r"[A-Z]\d?-[0-9A-F]{4,5}"),
    "SNM3": re.compile(r"[A-Z]\d?-[0-9A-F]{4,5}"),
    "DCM": re.compile(r"\d{6}"),
}
"""Coding schemes whose codes pass, and what a code of theirs looks like."""
