"""Hostile ways through ``logging.conf``, which Python evaluates."""

from __future__ import annotations

import configparser

import pytest

HANDLER = "class=StreamHandler\nlevel=INFO\nformatter=plain\nargs=(sys.stderr,)"


def logging_by_a_class_that_calls(victim):
    victim.logging("class=StreamHandler", f"class={victim.code}")


def logging_by_arguments_that_call(victim):
    victim.logging("args=(sys.stderr,)", f"args=({victim.code},)")


def logging_by_capitals(victim):
    victim.logging("args=(sys.stderr,)", f"ARGS=({victim.code},)")


def logging_into_a_file(victim):
    victim.logging(HANDLER, "class=FileHandler\nargs=('README.md', 'w')")


def logging_into_the_network(victim):
    victim.logging(HANDLER, "class=handlers.SocketHandler\nargs=('x', 9)")


def logging_filled_in_from_defaults(victim):
    victim.logging("args=(sys.stderr,)", "args=%(evil)s", f"[DEFAULT]\nevil=({victim.code},)\n")


def logging_with_defaults_to_evaluate(victim):
    victim.logging(more=f"defaults={victim.code}\n")


def logging_of_a_hidden_section(victim):
    victim.logging("keys=console", "keys=console,more", f"[handler_more]\nclass=StreamHandler\nargs=({victim.code},)\n")


def logging_in_lines_that_only_files_have(victim):
    """A file's lines also end with a carriage return alone; those of text in memory do not."""
    hidden = f"datefmt=x\r[handler_more]\rclass=StreamHandler\rargs=({victim.code},)\n"
    return victim.logging("keys=console", "keys=console,more", hidden)


def logging_elsewhere(victim):
    victim.write("docs/other.conf", f"[handler_more]\nclass=StreamHandler\nargs=({victim.code},)\n")


def logging_nobody_can_read(victim):
    victim.write("configs/logging.conf", "class=x\n[loggers\n")


WAYS = {
    logging_by_a_class_that_calls: "E_LOGGING",
    logging_by_arguments_that_call: "E_LOGGING",
    logging_by_capitals: "E_LOGGING",
    logging_into_a_file: "E_LOGGING",
    logging_into_the_network: "E_LOGGING",
    logging_filled_in_from_defaults: "E_LOGGING",
    logging_with_defaults_to_evaluate: "E_LOGGING",
    logging_of_a_hidden_section: "E_LOGGING",
    logging_in_lines_that_only_files_have: "E_TEXT",
    logging_elsewhere: "E_LOGGING",
    logging_nobody_can_read: "E_LOGGING",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])


def test_lines_that_only_files_have_are_real(victim):
    """Python's own reader of the file finds the hidden section, whose arguments it evaluates."""
    parser = configparser.ConfigParser()
    parser.read(logging_in_lines_that_only_files_have(victim))
    assert parser["handler_more"]["args"] == f"({victim.code},)"
