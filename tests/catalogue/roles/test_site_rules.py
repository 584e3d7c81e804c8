from pathlib import Path

import numpy as np
import pytest

from mpmri_monai.catalogue.roles.protocol import protocol
from mpmri_monai.catalogue.roles.site_rules import SiteRules, read_site_rules
from mpmri_monai.errors import ConfigError

NAMES = [f"S{phase}" for phase in range(6)]


def rules(**content) -> SiteRules:
    return SiteRules.model_validate({"schema": "mpmri-monai/site-rules/1", **content})


def series_of(catalogue) -> dict[str, int]:
    return {role: catalogue.volume(volume).series_number for role, volume in catalogue.roles.items()}


def write(path, text):
    path.write_text("schema: mpmri-monai/site-rules/1\n" + text, encoding="utf-8")
    return path


# -- one of several candidates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "series"),
    [
        ({"series_number": 7}, 7),
        ({"texts": "fat.?sat"}, 3),
        ({"choose": "first"}, 3),
        ({"choose": "last"}, 7),
        ({"echo_time_ms": [90, 120]}, 7),
        ({"echo_time_ms": [20, 60]}, 9),
    ],
)
def test_a_rule_decides_between_candidates(make, scanned, rule, series):
    first, second, dense = make.t2(series=3), make.t2(series=7), make.t2(series=9)
    for dataset in first:
        dataset.SeriesDescription = "T2 fat-sat"
    for dataset in second:
        dataset.EchoTime, dataset.AcquisitionTime = 100.0, make.clock(40000)
    for dataset in dense:
        dataset.EchoTime = 30.0
    catalogue = scanned([*first, *second, *dense], site_rules=rules(roles={"T2": rule}))
    assert series_of(catalogue) == {"T2": series} and not catalogue.problems
    (decision,) = catalogue.decisions
    assert decision.role == "T2" and decision.volume == catalogue.roles["T2"]
    assert {rival.series_number for rival in decision.rivals} <= {3, 7, 9} - {series}


def test_a_rule_that_does_not_decide_leaves_the_role_open_with_its_candidates(make, scanned):
    catalogue = scanned([*make.t2(series=3), *make.t2(series=7)], site_rules=rules(roles={"T2": {"choose": "last"}}))
    (entry,) = catalogue.unresolved
    assert (entry.role, entry.series_numbers) == ("T2", (3, 7)) and "E_ROLE" in entry.why
    assert set(entry.candidates) == {volume.id for volume in catalogue.volumes}
    assert [problem.code for problem in catalogue.problems] == ["E_ROLE"]
    assert catalogue.to_json()["unresolved"][0]["series_numbers"] == (3, 7)


def test_echoes_in_two_series_are_told_apart_by_the_site(make, scanned):
    images = [make.dual_echo(series=number, echoes=(1.15, 2.3)) for number in (4, 5)]
    assert scanned([*images[0], *images[1]]).problems[0].code in ("E_ROLE", "E_IPOP")
    catalogue = scanned(
        [*images[0], *images[1]], site_rules=rules(roles={"IN": {"series_number": 4}, "OUT": {"series_number": 5}})
    )
    assert series_of(catalogue) == {"IN": 4, "OUT": 5} and not catalogue.problems


def test_the_dynamic_acquisition_is_told_from_another_one(make, scanned):
    other = make.dynamic(first_series=30)
    for dataset in other:
        dataset.PixelSpacing = [1.0, 1.0]
    catalogue = scanned([*make.dynamic(), *other], site_rules=rules(roles={"dynamic": {"series_number": 30}}))
    assert series_of(catalogue) == dict.fromkeys(NAMES, 30) and not catalogue.problems


# -- phases -----------------------------------------------------------------------------------------------------------


def test_a_phase_that_the_site_does_not_acquire_may_be_missing(make, scanned):
    images = [*make.t2(), *make.dual_echo(), *make.dynamic(delays_s=make.delays_s[:5])]
    allowed = scanned(images, site_rules=rules(phases={"allow_missing": ["S5"]}))
    assert allowed.ok and allowed.optional == ("S5",) and list(allowed.roles)[-1] == "S4"
    other = scanned(images, site_rules=rules(phases={"allow_missing": ["S4"]}))
    assert "S5 (delayed) is missing" in other.problems[0].message and "S0" not in other.roles


def test_extra_volumes_may_be_left_over(make, scanned):
    images = make.dynamic(delays_s=(-40, 16, 26, 60, 85, 180, 300))
    catalogue = scanned(images, site_rules=rules(phases={"allow_extra": True}))
    assert list(catalogue.roles) == NAMES and not catalogue.problems
    assert catalogue.volume(catalogue.roles["S3"]).time_s == 100
    (rival,) = next(decision.rivals for decision in catalogue.decisions if decision.role == "S3")
    assert "+85 s" in rival.why


def test_delays_of_the_site_replace_those_of_the_protocol(make, scanned):
    images = make.dynamic(delays_s=(-40, 25, 40, 70, 120, 200))
    assert scanned(images).problems[0].code == "E_PHASE"
    catalogue = scanned(
        images, site_rules=rules(phases={"delays_s": {"S1": 25, "S2": 40, "S3": 70, "S4": 120, "S5": 200}})
    )
    assert list(catalogue.roles) == NAMES and not catalogue.problems


# -- one study --------------------------------------------------------------------------------------------------------


def test_single_volumes_are_fixed_or_ignored(make, scanned):
    images = [*make.t2(series=3), *make.t2(series=7)]
    ids = {volume.series_number: volume.id for volume in scanned(images).volumes}
    fixed = scanned(images, site_rules=rules(volumes={ids[7]: "T2"}))
    assert series_of(fixed)["T2"] == 7 and fixed.decisions[0].rule == "fixed by the site's rules"
    ignored = scanned(images, site_rules=rules(volumes={ids[7]: "ignore", "v0123456789": "T2"}))
    assert series_of(ignored) == {"T2": 3} and not ignored.problems
    assert any("ignore" in entry.why and entry.series_number == 7 for entry in ignored.set_aside)
    twice = scanned(images, site_rules=rules(volumes=dict.fromkeys(ids.values(), "T2")))
    assert [problem.code for problem in twice.problems] == ["E_ROLE"] and "T2" not in twice.roles


def test_phases_that_are_fixed_leave_the_others_to_the_clock(make, scanned):
    images = make.dynamic(delays_s=(-40, 16, 26, 60, 180, 300), one_series=False)
    plain = make.dynamic(first_series=30, delays_s=(-90,), one_series=False)
    for dataset in plain:
        dataset.PixelSpacing = [1.0, 1.0]
    rest = [dataset for dataset in images if dataset.SeriesNumber != 10]
    first = scanned([*rest, *plain])
    assert first.problems[0].code == "E_PHASE"
    fixed = next(volume.id for volume in first.volumes if volume.series_number == 30)
    catalogue = scanned([*rest, *plain], site_rules=rules(volumes={fixed: "S0"}))
    assert series_of(catalogue) == dict(zip(NAMES, (30, 11, 12, 13, 14, 15), strict=True))


def test_the_first_of_the_other_phases_is_not_taken_for_the_one_before_contrast(make, scanned):
    delays = (-90, -40, 16, 26, 60, 180, 300)
    images = make.dynamic(delays_s=delays, one_series=False)
    for dataset in images:  # dark before contrast
        if dataset.SeriesNumber < 12:
            dataset.PixelData = bytes(np.frombuffer(dataset.PixelData, np.uint16) // 50 + 20)
    volumes = scanned(images).volumes
    plain = next(volume.id for volume in volumes if volume.series_number == 11)
    catalogue = scanned(images, site_rules=rules(volumes={plain: "S0"}, phases={"allow_extra": True}))
    assert series_of(catalogue) == dict(zip(NAMES, range(11, 17), strict=True))
    assert "W_RISE" not in {caution.code for volume in catalogue.volumes for caution in volume.warnings}


def test_without_the_fixed_plain_phase_the_first_one_with_contrast_is_not_taken_for_it(make, scanned):
    """More volumes than phases: the signal tells where contrast arrives, and is to be seen from the plain phase on."""
    delays, levels = (-40, 16, 26, 60, 180, 300, 420), (20, 30, 90, 100, 90, 80, 70)
    images = make.dynamic(delays_s=delays, one_series=False)
    for dataset in images:
        pixels = np.full((dataset.Rows, dataset.Columns), 1000, np.uint16)
        pixels[: dataset.Rows // 2] = 40 * levels[dataset.SeriesNumber - 10]
        dataset.PixelData = pixels.tobytes()
    free = scanned(images, site_rules=rules(phases={"allow_extra": True}))
    plain = rules(volumes={free.roles["S0"]: "S0"}, phases={"allow_extra": True})
    wanted = dict(zip(NAMES, range(10, 16), strict=True))
    assert series_of(free) == series_of(scanned(images, site_rules=plain)) == wanted


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_is_read_and_used(make, tmp_path, scanned):
    path = write(tmp_path / "a.yaml", "protocol: liver\nroles:\n  T2: {choose: last, series_number: [3, 7]}\n")
    first, second = make.t2(series=3), make.t2(series=7)
    for dataset in second:
        dataset.AcquisitionTime = make.clock(50000)
    assert series_of(scanned([*first, *second], site_rules=path)) == {"T2": 7}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roles: {T2: {echo_tim_ms: [1, 2]}}", "did you mean echo_time_ms?"),
        ("rolls: {}", "did you mean roles?"),
        ("roles: {T2: {choose: middle}}", "roles.T2.choose"),
        ("roles: {T2: {texts: '('}}", "no regular expression"),
        ("phases: {delays_s: {S1: -4}}", "phases.delays_s.S1"),
        ("volumes: {P001: T2}", "volumes.P001"),
        ("roles: {T2: {}}\nroles: {}", "roles is given twice"),
        ("1: 2", "a key that is no text"),
    ],
)
def test_a_faulty_file_is_refused_and_the_place_named(tmp_path, text, said):
    with pytest.raises(ConfigError, match=r"E_RULES: a\.yaml") as caught:
        read_site_rules(write(tmp_path / "a.yaml", text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"protocol": "brain"}, "the rules of brain"),
        ({"roles": {"dynamics": {}}}, "did you mean dynamic?"),
        ({"roles": {"S1": {}}}, "give rules for dynamic"),
        ({"roles": {"dynamic": {"choose": "last"}}}, "choose"),
        ({"phases": {"allow_missing": ["S6"]}}, "S6"),
        ({"phases": {"delays_s": {"S0": 4}}}, "phases.delays_s"),
        ({"phases": {"delays_s": {"S1": 100}}}, "rise"),
        ({"volumes": {"v0123456789": "T9"}}, "T9"),
        ({"nifti": {"T9": "*"}}, "nifti"),
    ],
)
def test_rules_that_do_not_fit_the_protocol_are_refused(content, said):
    with pytest.raises(ConfigError, match="E_RULES") as caught:
        rules(**content).applied_to(protocol("liver"))
    assert said in str(caught.value)


def test_rules_about_other_things_leave_what_a_protocol_says_of_its_phases():
    liver = protocol("liver")
    own = liver.model_copy(update={"dynamic": liver.dynamic.model_copy(update={"allow_missing": ("S1",)})})
    assert rules().applied_to(own).dynamic.allow_missing == ("S1",)
    extra = rules(phases={"allow_extra": True}).applied_to(own).dynamic
    assert extra.allow_missing == ("S1",) and extra.allow_extra
    assert rules(phases={"allow_missing": []}).applied_to(own).dynamic.allow_missing == ()


def test_rules_without_content_change_nothing():
    liver = protocol("liver")
    assert rules().applied_to(liver) == liver


EXAMPLES = sorted((Path(__file__).parents[3] / "data_manifests" / "site_rules").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_as_they_should_be(path):
    found = read_site_rules(path)
    assert found.protocol and found.applied_to(protocol(found.protocol)) != protocol(found.protocol)


def test_the_example_of_five_phases(make, scanned):
    (path,) = (path for path in EXAMPLES if path.stem == "liver_five_phases")
    images = [*make.t2(), *make.dual_echo(), *make.dynamic(delays_s=(-60, -40, 35, 70, 180, 300))]
    catalogue = scanned(images, site_rules=path)
    assert list(catalogue.roles) == ["T2", "IN", "OUT", "S0", "S2", "S3", "S4", "S5"] and catalogue.ok
