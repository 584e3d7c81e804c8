"""Hostile ways through ``$`` expressions and imports."""

from __future__ import annotations

import pytest


def imports_os(victim):
    return victim.config(extra="$import os", evil=f"$os.system('{victim.touch}')")


def imports_one_function(victim):
    return victim.config(extra="$from os import system as ok", evil=f"$ok('{victim.touch}')")


def imports_everything(victim):
    victim.config(evil="$from mpmri_monai.bundle import *")


def imports_the_bundle_commands_of_monai(victim):
    victim.config(extra="$import monai.bundle as b", evil="$b.run(config_file='x')")


def imports_a_module_of_the_bundle(victim):
    victim.config(evil="$import scripts.net as net")


def imports_under_the_name_of_a_function(victim):
    victim.config(evil="$import mpmri_monai.bundle as len")


def imports_under_the_name_of_torch(victim):
    victim.config(evil="$import mpmri_monai.bundle as torch")


def imports_relatively(victim):
    victim.config(evil="$from . import x")


def imports_and_goes_on(victim):
    victim.config(evil="$import torch; import os")


def calls_import(victim):
    return victim.config(evil=f"${victim.code}")


def calls_import_in_an_element(victim):
    return victim.config(evil=[1, {"deep": [f"${victim.code}"]}])


def calls_eval(victim):
    return victim.config(evil=f"$eval({victim.code!r})")


def calls_exec(victim):
    return victim.config(evil=f"$exec({victim.code!r})")


def calls_open(victim):
    return victim.config(evil=f"$open('{victim.canary}', 'w')")


def calls_getattr_with_a_name_put_together(victim):
    return victim.config(evil=f"$getattr(torch, 'o' + 's').system('{victim.touch}')")


def reaches_os_through_torch(victim):
    return victim.config(evil=f"$torch.os.system('{victim.touch}')")


def reaches_subprocess_through_monai(victim):
    return victim.config(evil=f"$monai.utils.module.os.system('{victim.touch}')")


def reaches_os_through_our_own_module(victim):
    victim.config(evil=f"$mpmri.run_folder.logging.os.system('{victim.touch}')")


def reaches_numpy_load(victim):
    victim.config(evil="$np.load('x.npy', allow_pickle=True)")


def reaches_f2py(victim):
    victim.config(evil="$numpy.f2py.compile('x')")


def reaches_torch_load(victim):
    victim.config(evil="$torch.load('models/model.pt', weights_only=False)")


def reaches_torch_hub(victim):
    victim.config(evil="$torch.hub.load('someone/something', 'x')")


def compiles_a_program(victim):
    victim.config(evil="$torch.utils.cpp_extension.load(name='x', sources=['x.cpp'])")


def downloads_a_bundle(victim):
    victim.config(evil="$monai.bundle.download('x')")


def climbs_the_classes(victim):
    return victim.config(evil=f"$[c for c in ().__class__.__base__.__subclasses__()] and {victim.code}")


def climbs_from_a_reference(victim):
    code = f"$@network_def.__init__.__globals__['__builtins__']['open']('{victim.canary}', 'w')"
    return victim.config(network_def={"_target_": "torch.nn.Identity"}, evil=code)


def deletes_the_run_folder(victim):
    victim.config(evil="$@run_folder.path.rmdir()")


def writes_through_a_path(victim):
    victim.config(evil="$(@run_folder.path / 'x').write_text('x')")


def saves_through_the_network(victim):
    victim.config(evil="$@network_def.save('x')")


def reaches_a_module_by_reference(victim):
    victim.config(evil="$@imports::0.network.to('x')")


def reaches_a_module_in_a_list_by_reference(victim):
    victim.config(evil="$@imports[0].network")


def hands_a_module_on(victim):
    victim.config(evil="$torch")


def reads_the_table_of_references(victim):
    victim.config(evil="$__local_refs")


def reads_the_whole_configuration(victim):
    victim.config(evil="$@")


def references_in_quotes_break_the_quotes(victim):
    """MONAI replaces references in quotes too, with quotes of its own: part of the text becomes code."""
    victim.config(evil="$'@run' + '@run'")


def lambda_for_later(victim):
    victim.config(evil=f"$lambda x: {victim.code}")


def comprehension(victim):
    victim.config(evil="$[x.os for x in (torch,)]")


def name_set_inside(victim):
    victim.config(evil="$(x := torch).os")


def text_with_holes(victim):
    victim.config(evil="$f'{torch.os}'")


def text_formatted(victim):
    victim.config(evil="$'{0.os}'.format(torch)")


def path_put_together(victim):
    victim.config(manifest="$'.' + './secret'")


def path_repeated(victim):
    victim.config(manifest="$'.' * 2")


def path_put_together_from_references(victim):
    victim.config(a=".", b="./secret", manifest="$@a + @b")


def path_cut_out_of_text(victim):
    victim.config(a="x/etc", manifest="$@a[1:]")


def path_of_one_letter_of_text(victim):
    victim.config(a="x/etc", manifest="$@a[1]")


def path_of_one_letter_of_a_call(victim):
    victim.config(manifest="$list('a/')[1]")


def path_of_the_largest_letter(victim):
    victim.config(output_dir="$mpmri.default_output_dir(max('-/'))")


def path_joined(victim):
    victim.config(manifest="$''.join(['/', 'etc'])")


def path_below_a_folder_that_steps_up(victim):
    victim.config(manifest="$@run_folder.path / '../x'")


def path_in_bytes(victim):
    victim.config(manifest="$str(b'/etc', 'utf8')")


def environment(victim):
    victim.config(manifest="$torch.os.environ['HOME']")


def environment_in_a_shell_manner(victim):
    victim.config(manifest="${HOME}/x")


def address_of_the_process_group(victim):
    victim.config(evil="$torch.distributed.init_process_group('gloo', 'tcp://192.0.2.1:99')")


def function_with_conditions_handed_on(victim):
    victim.config(evil="$torch.distributed.init_process_group")


def reference_called(victim):
    victim.config(f="$mpmri.guard", evil="$@f('x')")


def arguments_put_together(victim):
    victim.config(evil="$mpmri.evaluate_run(**{'run_path': '.'})")


def results_over_the_folder_of_the_user(victim):
    victim.config(evil="$mpmri.evaluate_run('.', 1, 2, 3, 4, 5)")


def letters_that_look_like_others(victim):
    """Python reads compatibility forms of letters as the plain ones."""
    return victim.config(evil=f"$ｅval({victim.code!r})")


def power_that_never_ends(victim):
    victim.config(evil="$9 ** 9 ** 9")


def longer_than_anyone_reads(victim):
    victim.config(evil="$" + "+".join(["1"] * 5000))


def nested_for_the_parser(victim):
    victim.config(evil="$" + "(" * 250 + ")" * 250)


def not_python(victim):
    victim.config(evil="$1 +")


def nothing(victim):
    victim.config(evil="$")


WAYS = {
    imports_os: "E_IMPORT",
    imports_one_function: "E_IMPORT",
    imports_everything: "E_IMPORT",
    imports_the_bundle_commands_of_monai: "E_IMPORT",
    imports_a_module_of_the_bundle: "E_IMPORT",
    imports_under_the_name_of_a_function: "E_IMPORT",
    imports_under_the_name_of_torch: "E_IMPORT",
    imports_relatively: "E_IMPORT",
    imports_and_goes_on: "E_SYNTAX",
    calls_import: "E_ATTRIBUTE",
    calls_import_in_an_element: "E_ATTRIBUTE",
    calls_eval: "E_ATTRIBUTE",
    calls_exec: "E_ATTRIBUTE",
    calls_open: "E_CALL",
    calls_getattr_with_a_name_put_together: "E_CALL",
    reaches_os_through_torch: "E_CALL",
    reaches_subprocess_through_monai: "E_CALL",
    reaches_os_through_our_own_module: "E_CALL",
    reaches_numpy_load: "E_CALL",
    reaches_f2py: "E_CALL",
    reaches_torch_load: "E_CALL",
    reaches_torch_hub: "E_CALL",
    compiles_a_program: "E_CALL",
    downloads_a_bundle: "E_CALL",
    climbs_the_classes: "E_ATTRIBUTE",
    climbs_from_a_reference: "E_ATTRIBUTE",
    deletes_the_run_folder: "E_ATTRIBUTE",
    writes_through_a_path: "E_ATTRIBUTE",
    saves_through_the_network: "E_ATTRIBUTE",
    reaches_a_module_by_reference: "E_REFERENCE",
    reaches_a_module_in_a_list_by_reference: "E_REFERENCE",
    hands_a_module_on: "E_CALL",
    reads_the_table_of_references: "E_ATTRIBUTE",
    reads_the_whole_configuration: "E_REFERENCE",
    references_in_quotes_break_the_quotes: "E_SYNTAX",
    lambda_for_later: "E_ATTRIBUTE",
    comprehension: "E_SYNTAX",
    name_set_inside: "E_SYNTAX",
    text_with_holes: "E_SYNTAX",
    text_formatted: "E_ATTRIBUTE",
    path_put_together: "E_SYNTAX",
    path_repeated: "E_SYNTAX",
    path_put_together_from_references: "E_SYNTAX",
    path_cut_out_of_text: "E_SYNTAX",
    path_of_one_letter_of_text: "E_SYNTAX",
    path_of_one_letter_of_a_call: "E_SYNTAX",
    path_of_the_largest_letter: "E_CALL",
    path_joined: "E_ATTRIBUTE",
    path_below_a_folder_that_steps_up: "E_SYNTAX",
    path_in_bytes: "E_SYNTAX",
    environment: "E_CALL",
    environment_in_a_shell_manner: "E_SYNTAX",
    address_of_the_process_group: "E_ARGUMENT",
    function_with_conditions_handed_on: "E_CALL",
    reference_called: "E_CALL",
    arguments_put_together: "E_SYNTAX",
    results_over_the_folder_of_the_user: "E_ARGUMENT",
    letters_that_look_like_others: "E_ATTRIBUTE",
    power_that_never_ends: "E_SYNTAX",
    longer_than_anyone_reads: "E_SYNTAX",
    nested_for_the_parser: "E_SYNTAX",
    not_python: "E_SYNTAX",
    nothing: "E_SYNTAX",
}
RUNS_IN_MONAI = [
    imports_os,
    imports_one_function,
    calls_import,
    calls_import_in_an_element,
    calls_eval,
    calls_exec,
    calls_open,
    calls_getattr_with_a_name_put_together,
    reaches_os_through_torch,
    reaches_subprocess_through_monai,
    climbs_the_classes,
    climbs_from_a_reference,
    letters_that_look_like_others,
]
"""Ways that return the id at which MONAI runs the code."""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])


@pytest.mark.parametrize("way", RUNS_IN_MONAI, ids=lambda way: way.__name__)
def test_way_is_real(way, victim, runs_in_monai):
    runs_in_monai(way(victim))
