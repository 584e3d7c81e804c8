"""Hostile ways through the configuration's structure: targets, modes, keys, macros, references, metadata."""

from __future__ import annotations

import json

import pytest


def target_runs_a_process(victim):
    return victim.config(evil={"_target_": "os.system", "command": victim.touch})


def target_is_a_builtin(victim):
    return victim.config(evil={"_target_": "open", "file": str(victim.canary), "mode": "w"})


def target_is_named_by_a_reference(victim):
    return victim.config(name="os.system", evil={"_target_": "@name", "command": victim.touch})


def target_is_named_by_a_macro(victim):
    return victim.config(name="os.system", evil={"_target_": "%name", "command": victim.touch})


def target_is_put_together(victim):
    return victim.config(evil={"_target_": "$'os.' + 'system'", "command": victim.touch})


def target_inside_an_argument_of_an_allowed_one(victim):
    inner = {"_target_": "os.system", "command": victim.touch}
    return victim.config(evil={"_target_": "monai.transforms.Compose", "transforms": [inner]})


def target_in_a_list_in_the_metadata(victim):
    victim.metadata(authors=[{"_target_": "os.system", "command": victim.touch}])


def target_switched_off_until_an_override(victim):
    victim.config(evil={"_target_": "os.system", "command": victim.touch, "_disabled_": True})


def target_set_by_another_file_of_the_merge(victim):
    victim.write("configs/site.json", json.dumps({"optimizer#_target_": "os.system"}))


def target_runs_another_bundle(victim):
    victim.config(evil={"_target_": "monai.bundle.run", "config_file": "configs/other.json"})


def target_loads_another_bundle(victim):
    victim.config(evil={"_target_": "monai.bundle.load", "name": "other"})


def target_unpickles(victim):
    victim.config(evil={"_target_": "torch.load", "f": "models/model.pt", "weights_only": False})


def target_fetches_any_module_through_monai(victim):
    evil = {"_target_": "optional_import", "module": "os", "name": "system"}
    return victim.config(evil=evil, worse=f"$@evil[0]('{victim.touch}')")


def reader_is_found_by_its_name(victim):
    return victim.config(evil={"_target_": "LoadImage", "reader": "os.system", "command": victim.touch})


def name_of_a_function_as_an_argument(victim):
    victim.config(evil={"_target_": "monai.inferers.SimpleInferer", "reader": "os.system"})


def network_of_torch_hub(victim):
    victim.config(evil={"_target_": "torch.hub.load", "repo_or_dir": "someone/something", "model": "x"})


def condition_runs_code(victim):
    evil = {"_target_": "torch.nn.MSELoss", "_disabled_": f"${victim.code} == 1"}
    return victim.config(evil=evil)


def requirement_runs_code(victim):
    return victim.config(evil={"_target_": "torch.nn.MSELoss", "_requires_": [f"${victim.code}"]})


def description_runs_code(victim):
    return victim.config(evil={"_target_": "torch.nn.MSELoss", "_desc_": f"${victim.code}"})


def mode_opens_a_debugger(victim):
    victim.config(evil={"_target_": "torch.nn.MSELoss", "_mode_": "debug"})


def mode_is_decided_later(victim):
    victim.config(mode="debug", evil={"_target_": "torch.nn.MSELoss", "_mode_": "@mode"})


def argument_opens_a_debugger(victim):
    victim.config(evil={"_target_": "torch.nn.MSELoss", "_debug_": True})


def key_becomes_code(victim):
    """MONAI puts the text of keys into relative references, so a key can close the brackets and call."""
    key = f"epochs+[torch.os.system('{victim.touch}')][epochs"
    victim.config(**{key: {"evil": "$@#epochs]", "epochs": 1}})
    return f"{key}::evil"


def macro_reads_another_file(victim):
    outside = victim.folder.parent / "outside.json"
    outside.write_text(json.dumps({"x": f"${victim.code}"}))
    return victim.config(evil=f"%{outside}::x")


def macro_reads_a_file_beside_the_command(victim):
    victim.config(evil="%other.json::x")


def macro_reaches_text_of_the_metadata(victim):
    victim.metadata(description="/etc/passwd")
    victim.config(manifest="%_meta_::description")


def reference_makes_a_description_a_path(victim):
    victim.config(note={"_target_": "torch.nn.MSELoss", "_desc_": "/etc/passwd"}, manifest="@note::_desc_")


def reference_makes_the_metadata_a_path(victim):
    victim.metadata(description="/etc/passwd")
    victim.config(manifest="@_meta_::description")


def metadata_runs_code(victim):
    victim.metadata(description=f"${victim.code}")


def metadata_with_a_shape_to_evaluate(victim):
    image = {"num_channels": 3, "spatial_shape": [victim.code]}
    victim.metadata(network_data_format={"inputs": {"image": image}})


def metadata_with_shapes_as_keys(victim):
    """Whoever goes through the sides of a shape gets the keys of an object."""
    image = {"num_channels": 3, "spatial_shape": {victim.code: 1}}
    victim.metadata(network_data_format={"inputs": {"image": image}})


def metadata_with_a_shape_put_together_by_keys(victim):
    victim.metadata(**{"network_data_format#inputs#image#spatial_shape#0": victim.code})


def metadata_builds_something_listed(victim):
    victim.metadata(authors={"_target_": "mpmri_monai.training.History", "path": "README.md"})


def metadata_inside_a_configuration(victim):
    victim.config(_meta_={"spatial_shape": [victim.code]})


def reference_file_runs_code(victim):
    victim.write("models/reference.json", json.dumps({"temperature": f"${victim.code}"}))


def module_by_its_place_in_a_list_put_together(victim):
    victim.config(evil="@imports::1")
    victim.write("configs/site.json", json.dumps({"+imports": ["$import torch"]}))


def packed_text(victim):
    victim.config(note="QUJD" * 200)


def unseen_direction_of_reading(victim):
    victim.config(note="safe \u202e gnihtemos")


WAYS = {
    target_runs_a_process: "E_TARGET",
    target_is_a_builtin: "E_TARGET",
    target_is_named_by_a_reference: "E_TARGET",
    target_is_named_by_a_macro: "E_TARGET",
    target_is_put_together: "E_TARGET",
    target_inside_an_argument_of_an_allowed_one: "E_TARGET",
    target_in_a_list_in_the_metadata: "E_TARGET",
    target_switched_off_until_an_override: "E_TARGET",
    target_set_by_another_file_of_the_merge: "E_TARGET",
    target_runs_another_bundle: "E_TARGET",
    target_loads_another_bundle: "E_TARGET",
    target_unpickles: "E_TARGET",
    target_fetches_any_module_through_monai: "E_TARGET",
    reader_is_found_by_its_name: "E_TARGET",
    name_of_a_function_as_an_argument: "E_TEXT",
    network_of_torch_hub: "E_TARGET",
    condition_runs_code: "E_ATTRIBUTE",
    requirement_runs_code: "E_ATTRIBUTE",
    description_runs_code: "E_ATTRIBUTE",
    mode_opens_a_debugger: "E_MODE",
    mode_is_decided_later: "E_MODE",
    argument_opens_a_debugger: "E_MODE",
    key_becomes_code: "E_KEY",
    macro_reads_another_file: "E_MACRO",
    macro_reads_a_file_beside_the_command: "E_MACRO",
    macro_reaches_text_of_the_metadata: "E_REFERENCE",
    reference_makes_a_description_a_path: "E_REFERENCE",
    reference_makes_the_metadata_a_path: "E_REFERENCE",
    metadata_runs_code: "E_ATTRIBUTE",
    metadata_with_a_shape_to_evaluate: "E_SHAPE",
    metadata_with_shapes_as_keys: "E_SHAPE",
    metadata_with_a_shape_put_together_by_keys: "E_SHAPE",
    metadata_builds_something_listed: "E_TARGET",
    metadata_inside_a_configuration: "E_SHAPE",
    reference_file_runs_code: "E_ATTRIBUTE",
    module_by_its_place_in_a_list_put_together: "E_REFERENCE",
    packed_text: "E_TEXT",
    unseen_direction_of_reading: "E_TEXT",
}
RUNS_IN_MONAI = [
    target_runs_a_process,
    target_is_a_builtin,
    target_is_named_by_a_reference,
    target_is_named_by_a_macro,
    target_is_put_together,
    target_inside_an_argument_of_an_allowed_one,
    target_fetches_any_module_through_monai,
    reader_is_found_by_its_name,
    condition_runs_code,
    requirement_runs_code,
    description_runs_code,
    key_becomes_code,
    macro_reads_another_file,
]
"""Ways that return the id at which MONAI runs the code."""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])


@pytest.mark.parametrize("way", RUNS_IN_MONAI, ids=lambda way: way.__name__)
def test_way_is_real(way, victim, runs_in_monai):
    runs_in_monai(way(victim))
