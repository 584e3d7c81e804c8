"""Hostile ways through listed things: what they write, read, connect to and start."""

from __future__ import annotations

import json

import pytest


def output_goes_anywhere(victim):
    victim.config(output_dir="/etc/cron.d")


def output_goes_over_a_file_of_the_user(victim):
    victim.config(evil={"_target_": "mpmri_monai.training.History", "path": "README.md"})


def output_of_an_override_goes_over_a_file_of_the_user(victim):
    victim.config(history={"_target_": "mpmri_monai.training.History", "path": "@output_dir"})
    victim.write("configs/site.json", json.dumps({"history#path": "README.md"}))


def output_folder_is_chosen_by_the_bundle(victim):
    victim.config(output_dir="mpmri_monai")


def output_goes_over_the_working_folder(victim):
    victim.config(output_dir=".")


def output_goes_below_the_working_folder(victim):
    victim.config(bundle_root=".", output_dir="$@bundle_root + '/mpmri_monai'")


def output_goes_into_the_bundle(victim):
    victim.config(output_dir="$mpmri.bundle_root()")


def output_goes_into_a_folder_of_the_cohort(victim):
    victim.config(output_dir="$@cohort.manifest.path('images') / 'x'")


def bundle_root_is_nothing(victim):
    victim.config(bundle_root="", manifest="$@bundle_root + '/etc'")


def path_steps_upwards(victim):
    victim.config(manifest="configs/../../../secret.json")


def path_of_the_home_folder(victim):
    victim.config(manifest="~/.ssh/id_rsa")


def path_of_another_system(victim):
    victim.config(manifest="C:\\Users\\x")


def address_in_an_argument(victim):
    victim.config(manifest="https://example.org/manifest.json")


def address_for_the_process_group(victim):
    evil = {"_target_": "torch.distributed.init_process_group", "backend": "gloo", "init_method": "env:0"}
    victim.config(evil=evil)


def process_group_handed_on(victim):
    victim.config(evil={"_target_": "torch.distributed.init_process_group", "_mode_": "callable"})


def _evaluator(**more):
    engine = {"val_data_loader": "@network_def", "network": "@network_def", "device": "cpu"}
    return {"_target_": "SupervisedEvaluator", **engine, **more}


def compiler_is_a_program_of_the_bundle(victim):
    """torch.compile starts what its options name; a NIfTI file may begin as any script does."""
    program = victim.write("selftest/x.nii", f"#!/bin/sh\n{victim.touch}\n".encode().ljust(344) + b"n+1\0" + bytes(8))
    program.chmod(0o755)
    options = "${'cpp.cxx': (None, 'foreign/selftest/x.nii')}"
    victim.config(evil=_evaluator(compile=True, compile_kwargs={"options": options}))


def compiler_of_an_engine_in_an_expression(victim):
    victim.config(evil="$monai.engines.SupervisedTrainer(compile=True, compile_kwargs={'backend': 'x'})")


def compiler_of_our_own_trainer(victim):
    victim.config(evil={"_target_": "mpmri_monai.training.Trainer", "compile_kwargs": {"backend": "x"}})


def compiler_set_by_another_file_of_the_merge(victim):
    victim.config(evil=_evaluator())
    victim.write("configs/site.json", json.dumps({"evil#compile": True}))


def engine_handed_on(victim):
    victim.config(evil=_evaluator(_mode_="callable"))


def output_of_an_item_is_changed_by_its_place(victim):
    """A key with a plus makes the item the second of its list, so nothing else says that this is its path."""
    history = {"_target_": "mpmri_monai.training.History", "path": "@output_dir"}
    victim.config(handlers=[{"_target_": "torch.nn.MSELoss"}])
    victim.write("configs/site.json", json.dumps({"+handlers": [history], "handlers#1#path": "README.md"}))


def weights_are_fetched_later(victim):
    victim.write("large_files.yml", "large_files:\n- path: models/model.pt\n  url: https://example.org/model.pt\n")


WAYS = {
    output_goes_anywhere: "E_PATH",
    output_goes_over_a_file_of_the_user: "E_ARGUMENT",
    output_of_an_override_goes_over_a_file_of_the_user: "E_ARGUMENT",
    output_folder_is_chosen_by_the_bundle: "E_PATH",
    output_goes_over_the_working_folder: "E_PATH",
    output_goes_below_the_working_folder: "E_PATH",
    output_goes_into_the_bundle: "E_PATH",
    output_goes_into_a_folder_of_the_cohort: "E_PATH",
    bundle_root_is_nothing: "E_PATH",
    path_steps_upwards: "E_PATH",
    path_of_the_home_folder: "E_PATH",
    path_of_another_system: "E_PATH",
    address_in_an_argument: "E_URL",
    address_for_the_process_group: "E_ARGUMENT",
    process_group_handed_on: "E_ARGUMENT",
    compiler_is_a_program_of_the_bundle: "E_ARGUMENT",
    compiler_of_an_engine_in_an_expression: "E_ARGUMENT",
    compiler_of_our_own_trainer: "E_ARGUMENT",
    compiler_set_by_another_file_of_the_merge: "E_ARGUMENT",
    engine_handed_on: "E_ARGUMENT",
    output_of_an_item_is_changed_by_its_place: "E_KEY",
    weights_are_fetched_later: "E_URL",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])
