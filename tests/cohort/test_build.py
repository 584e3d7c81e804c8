import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from mpmri_monai.catalogue import Caution, Unresolved
from mpmri_monai.cohort import build_manifest, load_manifest, save_manifest
from mpmri_monai.cohort.commands import manifest_command
from mpmri_monai.cohort.labels import label_classes
from mpmri_monai.errors import ConfigError, ManifestError
from mpmri_monai.sequences import GRADES, SEQUENCES


def build(cohort, **options):
    return build_manifest(cohort, cohort / "labels.csv", "small", **options)


def edit(cohort, old, new):
    labels = cohort / "labels.csv"
    assert old in labels.read_text()
    labels.write_text(labels.read_text().replace(old, new))


def test_every_study_is_taken_with_all_its_sequences(cohort, scanner):
    manifest, failed = build(cohort, truth="truth.csv")
    assert failed == []
    assert manifest.folder == cohort
    assert manifest.truth == "truth.csv"
    assert manifest.sequences == SEQUENCES
    assert [study.patient for study in manifest.studies] == ["P001", "P002", "P003"]
    third = manifest.studies[2]
    assert third.images["S4"].dicom == "P003/dicom"
    assert third.images["S4"].volume == "vS4-P003"
    assert third.organs == {"liver": "P003/liver.nii.gz"}
    assert [(x.id, x.region.value, x.drawn_on, x.labels) for x in third.lesions] == [
        ("P003-L1", 1, "S3", {"grade": "poorly"}),
        ("P003-L2", 2, "S3", {"grade": "well"}),
    ]


def test_order_of_the_rows_does_not_matter(cohort, scanner):
    first = build(cohort)[0].digest()
    header, *rows = (cohort / "labels.csv").read_text().splitlines()
    order = [rows[2], rows[0], rows[1], rows[3]]
    (cohort / "labels.csv").write_text("\n".join([header, *order]) + "\n")
    assert build(cohort)[0].digest() == first


def test_study_without_a_sequence_stays(cohort, scanner):
    scanner.answers["P002"] = scanner.full("OUT")
    manifest, failed = build(cohort)
    assert failed == []
    assert "OUT" not in manifest.studies[1].images
    assert "T2" in manifest.studies[1].images


def test_study_in_doubt_is_left_out_whole(cohort, scanner):
    scanner.answers["P002"] = scanner.in_doubt("E_PHASE")
    manifest, failed = build(cohort)
    assert [study.patient for study in manifest.studies] == ["P001", "P003"]
    assert [finding.where for finding in failed] == ["P002-1"]
    assert "E_PHASE" in failed[0].message


def test_study_without_any_sequence_is_left_out(cohort, scanner):
    scanner.answers["P002"] = scanner.full(*SEQUENCES)
    assert [finding.where for finding in build(cohort)[1]] == ["P002-1"]


def test_missing_folder_and_missing_mask_fail_their_study_only(cohort, scanner):
    (cohort / "P001" / "dicom").rmdir()
    (cohort / "P003" / "lesions.nii.gz").unlink()
    manifest, failed = build(cohort)
    assert [study.patient for study in manifest.studies] == ["P002"]
    assert {finding.where: finding.message for finding in failed}.keys() == {"P001-1", "P003-1"}
    assert "P003/lesions.nii.gz" in str(failed[1])


def test_no_usable_study_is_an_error(cohort, scanner):
    for patient in ("P001", "P002", "P003"):
        (cohort / patient / "dicom").rmdir()
    with pytest.raises(ManifestError, match="3 that failed"):
        build(cohort)


def test_segment_of_a_seg_file(cohort, scanner):
    edit(cohort, "P001/lesions.nii.gz,1,,", "P001/lesions.nii.gz,,7,")
    assert build(cohort)[0].studies[0].lesions[0].region.segment == 7


def test_row_without_lesion_labels_the_study(cohort, scanner):
    edit(cohort, "P001-L1,P001/lesions.nii.gz,1,,S3,", ",,,,,")
    study = build(cohort)[0].studies[0]
    assert study.lesions == ()
    assert study.labels == {"grade": "well"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("grade\n", "grde\n", "did you mean 'grade'"),
        ("drawn_on", "drwn_on", "did you mean 'drawn_on'"),
        ("moderately", "moderatly", "did you mean 'moderately'"),
        ("S3,P001/liver", "S9,P001/liver", "drawn_on"),
        ("P003-L2", "P003-L1", "P003-L1 twice"),
        ("P002/dicom", "P001/dicom", "folder of its own"),
        ("P001/lesions.nii.gz,1,,", "P001/lesions.nii.gz,1,1,", "either its value"),
        ("P001/lesions.nii.gz,1,,", "P001/lesions.nii.gz,one,,", "positive whole number"),
        ("P001-L1,", ",", "name of the lesion"),
        ("P001,P001-1", "DOE^JANE,P001-1", "no person's name; found another text"),
        ("P003-L2", "P003/../L2", "a lesion of at most 64"),
        ("P002,P002-1,A", "P002,P002-1,", "a site"),
        ("P003-1,A,P003/dicom,P003-L2", "P003-1,B,P003/dicom,P003-L2", "one site on all rows"),
        (",", ";", "commas between its cells"),
        ("P001,P001-1", "note,P001,P001-1", "no more cells in a row"),
        ("P002,P002-1", "note,P002,P002-1", "11 fields in line 3, saw 12"),
    ],
)
def test_faulty_table_is_refused_before_any_scan(cohort, scanner, old, new, message):
    scanner.answers = None  # a scan would fail with something else
    edit(cohort, old, new)
    with pytest.raises(ManifestError, match=message):
        build(cohort)


def test_table_from_a_spreadsheet(cohort, scanner):
    text = (cohort / "labels.csv").read_text()
    plain = build(cohort)[0]
    (cohort / "labels.csv").write_bytes(("\ufeff" + text.replace(",", ", ").replace("\n", "\r\n")).encode())
    assert build(cohort)[0] == plain


def test_empty_rows_and_columns_at_the_end_of_a_table_mean_nothing(cohort, scanner):
    plain = build(cohort)[0]
    header, *rows = (cohort / "labels.csv").read_text().splitlines()
    wider = [f"{line},," for line in (header, *rows)]
    (cohort / "labels.csv").write_text("\n".join([*wider, "," * (header.count(",") + 2)]) + "\n")
    assert build(cohort)[0] == plain


def test_rows_with_more_cells_than_columns_are_not_shifted(cohort, scanner):
    header, *rows = (cohort / "labels.csv").read_text().splitlines()
    (cohort / "labels.csv").write_text("\n".join([header, *(f"note,{row}" for row in rows)]) + "\n")
    with pytest.raises(ManifestError, match="no more cells in a row"):
        build(cohort)


@pytest.mark.parametrize("first", [True, False])
def test_a_row_without_lesion_among_those_of_lesions_is_refused(cohort, scanner, first):
    header, *rows = (cohort / "labels.csv").read_text().splitlines()
    lesion = next(row for row in rows if row.startswith("P001"))
    cells = dict(zip(header.split(","), lesion.split(","), strict=True))
    cells |= dict.fromkeys(("lesion", "mask", "value", "segment", "drawn_on"), "")
    without = ",".join(cells[name] for name in header.split(","))
    (cohort / "labels.csv").write_text("\n".join([header, *([without, *rows] if first else [*rows, without])]) + "\n")
    with pytest.raises(ManifestError, match="a row without a lesion among them"):
        build(cohort)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"patient,study\n"])
def test_what_is_no_table_is_refused(cohort, content):
    (cohort / "labels.csv").write_bytes(content)
    with pytest.raises(ManifestError):
        build(cohort)


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        build_manifest(tmp_path, tmp_path / "labels.csv", "none")


def test_roi_of_an_rtstruct(cohort, scanner):
    edit(cohort, "value,segment,", "value,segment,roi,")
    text = (cohort / "labels.csv").read_text()
    (cohort / "labels.csv").write_text(text.replace(",,S3,", ",,,S3,").replace("nii.gz,1,,,", "nii.gz,,,4,", 1))
    assert build(cohort)[0].studies[0].lesions[0].region.roi == 4


def test_what_the_catalogue_warns_of_is_found_once_for_all_phases(cohort, scanner):
    caution = Caution("W_ORDER", "the order was assumed")
    volumes = tuple(
        replace(volume, warnings=(caution,)) if volume.role in ("S1", "S2") else volume
        for volume in scanner.full().volumes
    )
    open_role = Unresolved("T2", ("a", "b"), (4, 9), "both fit")
    scanner.answers["P002"] = replace(scanner.full(), volumes=volumes, unresolved=(open_role,))
    manifest, findings = build(cohort)
    assert len(manifest.studies) == 3
    assert [(finding.level, str(finding)) for finding in findings] == [
        ("warning", "P002-1: W_ORDER (S1 S2): the order was assumed"),
        ("warning", "P002-1: T2 is open between series 4, 9: both fit"),
    ]


def test_nifti_studies_are_named_by_their_files(cohort, scanner):
    files = {name: cohort / "P001" / "dicom" / f"{name}.nii.gz" for name in SEQUENCES}
    volumes = tuple(replace(volume, nifti=files[volume.role]) for volume in scanner.full().volumes)
    scanner.answers["P001"] = replace(scanner.full(), volumes=volumes)
    manifest, _ = build(cohort)
    assert manifest.studies[0].images["S0"] == "P001/dicom/S0.nii.gz"
    moved = save_manifest(manifest, cohort.parent / "elsewhere" / "m.json")
    assert moved.path(moved.studies[0].images["S0"]).resolve() == files["S0"]


def test_nifti_inside_an_archive_cannot_be_named(cohort, scanner, tmp_path):
    volumes = tuple(replace(volume, nifti=tmp_path / "unpacked" / "1") for volume in scanner.full().volumes)
    scanner.answers["P001"] = replace(scanner.full(), volumes=volumes)
    (finding,) = build(cohort)[1]
    assert finding.level == "error" and "E_ARCHIVE" in finding.message


def test_protocol_and_rules_of_the_sites_are_used_and_kept_in_the_manifest(cohort, scanner, tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "A.yaml").write_text("schema: mpmri-monai/site-rules/1\n")
    edit(cohort, "P003,P003-1,A,", "P003,P003-1,B,")
    manifest, _ = build_manifest(cohort, cohort / "labels.csv", "small", site_rules=rules)
    assert scanner.calls == [
        ("P001", "liver", rules / "A.yaml"),
        ("P002", "liver", rules / "A.yaml"),
        ("P003", "liver", None),
    ]
    moved = load_manifest(tmp_path / "x" / "m.json") if save_manifest(manifest, tmp_path / "x" / "m.json") else None
    assert moved.rules_of("A").resolve() == rules / "A.yaml"
    assert moved.rules_of("B") is None
    options = {"protocol": "liver", "site_rules": moved.rules_of("A")}
    assert pickle.loads(pickle.dumps(moved.studies[0])).model_copy().scan_options == options
    with pytest.raises(ConfigError, match="rules of the sites"):
        build_manifest(cohort, cohort / "labels.csv", "small", site_rules=tmp_path / "nowhere")


def test_a_protocol_without_sequences_makes_no_manifest(cohort, scanner):
    with pytest.raises(ConfigError, match="protocol with sequences"):
        build_manifest(cohort, cohort / "labels.csv", "small", protocol="none")


def test_an_interrupted_cohort_is_not_scanned_again(cohort, scanner, tmp_path):
    def made():
        return build_manifest(cohort, cohort / "labels.csv", "small", cache=tmp_path / "cache")

    (cohort / "P002" / "dicom").rmdir()
    first = made()
    assert len(scanner.calls) == 3 and len(first[1]) == 1
    assert made() == first
    assert [patient for patient, _, _ in scanner.calls[3:]] == ["P002"]
    (cohort / "P002" / "dicom").mkdir()
    (cohort / "P001" / "dicom" / "new").write_bytes(b"")
    made()
    assert [patient for patient, _, _ in scanner.calls[4:]] == ["P001", "P002"]
    edit(cohort, "P003-L2", "P003-L9")
    assert made()[0].studies[2].lesions[1].id == "P003-L9"


def test_commands_print_counts_and_the_next_command(cohort, scanner, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    scanner.answers["P002"] = scanner.full("OUT")
    output = cohort / "m.json"
    assert manifest_command(cohort, cohort / "labels.csv", output, workers=0) == 0
    printed = capsys.readouterr().out
    assert "3 patients, 3 studies, 4 lesions" in printed
    assert "Missing sequences" in printed
    assert f"mpmri check {output}" in printed
    (cohort / "P002" / "dicom").rmdir()
    assert manifest_command(cohort, cohort / "labels.csv", output, workers=0) == 1
    assert "1 studies were left out" in capsys.readouterr().out


def test_real_studies_of_other_organs_are_left_out_with_a_reason(tmp_path):
    data = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    studies = ("prostatex_0218", "ge_mr750_multiphase", "qin_prostate_001")
    if not all((data / name).is_dir() for name in studies):
        pytest.skip("the real data is not here; MPMRI_TEST_DATA names its folder")
    rows = [f"p{number},{name},A,{name},well" for number, name in enumerate(studies)]
    (tmp_path / "labels.csv").write_text("\n".join(["patient,study,site,folder,grade", *rows]) + "\n")
    with pytest.raises(ManifestError, match="3 that failed"):
        build_manifest(data, tmp_path / "labels.csv", "prostates")


def test_a_folder_that_is_not_there_is_said_to_be_missing(cohort):
    with pytest.raises(ManifestError, match="no such folder"):
        build_manifest(cohort / "nowhere", cohort / "labels.csv", "small")


def test_labels_of_one_s_own_are_named_with_their_classes_in_order(cohort, scanner, capsys):
    labels, output = cohort / "labels.csv", cohort / "m.json"
    edit(cohort, "grade", "margin")
    for old, new in (("well", "sharp"), ("moderately", "blurred"), ("poorly", "blurred")):
        labels.write_text(labels.read_text().replace(old, new))
    with pytest.raises(ManifestError, match="--classes margin=FIRST,SECOND"):
        manifest_command(cohort, labels, output, workers=0)
    assert manifest_command(cohort, labels, output, classes=["margin=sharp,blurred"], workers=0) == 0
    manifest = load_manifest(output)
    assert manifest.classes == {"margin": ("sharp", "blurred")}
    assert manifest.studies[2].lesions[1].labels == {"margin": "sharp"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["grade=well,poorly", "organ=a, b ,c"], {"grade": ("well", "poorly"), "organ": ("a", "b", "c")}),
        ([], {"grade": GRADES}),
    ],
)
def test_options_of_classes(options, expected):
    assert label_classes(options) == expected


@pytest.mark.parametrize(
    "options",
    [["grade"], ["grade="], ["=a,b"], ["grade=a"], ["grade=a,a"], ["grade=a,,b"], ["mask=a,b"], ["g=a,b"] * 2],
)
def test_options_of_classes_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError, match="--classes"):
        label_classes(options)
