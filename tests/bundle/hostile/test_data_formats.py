"""Hostile ways through JSON and YAML: what readers read otherwise, or not to its end."""

from __future__ import annotations

import json

import pytest
import yaml


def key_stands_twice(victim):
    twice = f'{{"evil": 1, "evil": {{"_target_": "os.system", "command": "{victim.touch}"}}}}'
    victim.write("configs/train.json", twice)


def nested_too_deeply(victim):
    victim.write("configs/train.json", "[" * 100_000 + "]" * 100_000)


def larger_than_any_configuration(victim):
    with victim.write("configs/train.json", "{}").open("r+b") as file:
        file.truncate(40 << 20)


def not_utf8(victim):
    victim.write("configs/train.json", json.dumps({"a": 1}).encode("utf-16"))


def more_values_than_any_configuration(victim):
    """Each value of a file takes a hundred times the memory of its text."""
    victim.write("models/reference.json", json.dumps([0] * 260_000))


def yaml_that_another_encoding_reads_otherwise(victim):
    """MONAI opens files in the machine's own encoding: on a Japanese one a letter takes the backslash with it."""
    text = f'note: "\u00c3\\"\nevil: $torch.os.system(\'{victim.touch}\')\n# "\n'
    assert yaml.safe_load(text.encode("utf-8").decode("cp932"))["evil"].startswith("$torch.os")
    victim.write("configs/evaluate.yaml", text)


def number_that_takes_for_ever(victim):
    victim.write("configs/train.json", "9" * 100_000)


def yaml_builds_python(victim):
    victim.write("configs/evaluate.yaml", f"a: !!python/object/apply:os.system ['{victim.touch}']\n")


def yaml_grows_without_end(victim):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]" for x, y in zip("abcdefgh", "bcdefghi", strict=True)]
    victim.write("configs/evaluate.yaml", "\n".join(lines))


def yaml_merges_a_target(victim):
    text = "base: &base {_target_: os.system}\nevil:\n  <<: *base\n  command: x\n"
    victim.write("configs/evaluate.yaml", text)


def yaml_key_stands_twice(victim):
    victim.write("configs/evaluate.yaml", "a: 1\na: {_target_: os.system}\n")


def yaml_target(victim):
    victim.write("configs/evaluate.yaml", f"evil:\n  _target_: os.system\n  command: {victim.touch}\n")


def yaml_nested_too_deeply(victim):
    victim.write("configs/evaluate.yaml", "[" * 5_000 + "]" * 5_000)


WAYS = {
    key_stands_twice: "E_DATA",
    nested_too_deeply: "E_DATA",
    larger_than_any_configuration: "E_DATA",
    not_utf8: "E_DATA",
    more_values_than_any_configuration: "E_DATA",
    yaml_that_another_encoding_reads_otherwise: "E_DATA",
    number_that_takes_for_ever: "E_DATA",
    yaml_builds_python: "E_DATA",
    yaml_grows_without_end: "E_DATA",
    yaml_merges_a_target: "E_DATA",
    yaml_key_stands_twice: "E_DATA",
    yaml_target: "E_TARGET",
    yaml_nested_too_deeply: "E_DATA",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])
