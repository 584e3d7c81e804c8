"""Rules of a site: what its scanners and habits need beyond the physics of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mpmri_monai.catalogue.roles.conditions import PulseSequence
from mpmri_monai.catalogue.roles.protocol import NEVER_S, Dynamic, Protocol, Role, SequenceName
from mpmri_monai.catalogue.roles.rules_file import Rules, read_rules
from mpmri_monai.errors import ConfigError

DYNAMIC = "dynamic"
"""Stands for all phases in the roles of a rules file: they are found together."""
IGNORE = "ignore"
"""Stands for no role in the volumes of a rules file."""

VolumeId = Annotated[str, StringConstraints(pattern=r"^v[0-9a-f]{10}$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Delay = Annotated[float, Field(gt=0, lt=NEVER_S)]


class PhaseRules(Rules):
    """How a site's dynamic acquisition differs from the protocol's."""

    allow_missing: tuple[SequenceName, ...] = ()
    """Phases that the site does not acquire."""
    allow_extra: bool = False
    """Whether more volumes than phases may be there; those nearest to the delays are taken."""
    delays_s: dict[SequenceName, Delay] = Field(default_factory=dict)
    """Delays in place of the protocol's (s)."""


class SiteRules(Rules):
    """What a rules file holds. A rule replaces the conditions of the protocol that it gives, and keeps the others."""

    schema_: Literal["mpmri-monai/site-rules/1"] = Field(alias="schema")
    protocol: str | None = None
    """Name of the protocol that the rules are for; any when not given."""
    roles: dict[str, Role] = Field(default_factory=dict)
    phases: PhaseRules | None = None
    nifti: dict[SequenceName, Glob] = Field(default_factory=dict)
    """Pattern of the file names of each sequence, in studies that are kept as NIfTI."""
    volumes: dict[VolumeId, str] = Field(default_factory=dict)
    """Role of single volumes, or ``ignore``. An id says which images, and nothing about the patient."""

    def applied_to(self, protocol: Protocol) -> Protocol:
        """Return the protocol with these rules.

        Raises:
            ConfigError: the rules are for another protocol, or name a sequence that it does not have.
        """
        if self.protocol not in (None, protocol.name):
            raise _error(f"the rules of {self.protocol}", f"the protocol is {protocol.name}")
        phases = tuple(protocol.dynamic.phases_) if protocol.dynamic else ()
        self._check_names(protocol, phases)
        pair, dynamic = protocol.echo_pair, protocol.dynamic
        roles = {name: _override(role, self.roles.get(name)) for name, role in protocol.roles.items()}
        if pair is not None and {pair.in_phase, pair.out_of_phase} & set(self.roles):
            for name, phase in ((pair.in_phase, "in"), (pair.out_of_phase, "out")):
                role = Role(**_given(pair.conditions), fat_phase=phase)
                roles[name] = _override(role, self.roles.get(name))
            pair = None  # the site's rules tell the echoes apart, so they need not be found as a pair
        if dynamic is not None:
            dynamic = self._dynamic(dynamic)
        return protocol.model_copy(update={"roles": roles, "echo_pair": pair, "dynamic": dynamic})

    def _check_names(self, protocol: Protocol, phases: Sequence[str]) -> None:
        single = [name for name in protocol.sequences if name not in phases]
        names = [*single, *([DYNAMIC] if phases else [])]
        for place, used, known in (
            ("roles", self.roles, names),
            ("phases.allow_missing", self.phases.allow_missing if self.phases else (), phases),
            ("phases.delays_s", self.phases.delays_s if self.phases else (), phases[1:]),
            ("nifti", self.nifti, protocol.sequences),
            ("volumes", self.volumes.values(), (*protocol.sequences, IGNORE)),
        ):
            for name in used:
                if name not in known:
                    near = get_close_matches(name, known, n=1)
                    hint = f" (did you mean {near[0]}?)" if near else ""
                    if place == "roles" and name in phases:
                        hint = f" (phases are found together: give rules for {DYNAMIC})"
                    raise _error(f"{place} among {', '.join(known) or 'none'}", f"{name}{hint}")

    def _dynamic(self, dynamic: Dynamic) -> Dynamic:
        rules = self.phases or PhaseRules()
        rule = self.roles.get(DYNAMIC)
        if rule is not None and rule.choose is not None:
            raise _error("roles.dynamic without choose", "choose, which is for roles of one volume")
        content = {
            "conditions": _given(_override(dynamic.conditions, rule)),
            "minimum_volumes": dynamic.minimum_volumes,
            "delays_from": dynamic.delays_from,
            "phases": {
                name: {"name": entry.name, "delay_s": rules.delays_s.get(name, entry.delay_s)}
                for name, entry in dynamic.phases_.items()
            },
            "allow_missing": dynamic.allow_missing,
            "allow_extra": dynamic.allow_extra,
            **{name: value for name, value in rules if name in rules.model_fields_set and name != "delays_s"},
        }
        try:
            return Dynamic.model_validate(content)
        except ValueError as error:
            raise _error("phases.delays_s that rise", "delays in another order than the phases") from error


def read_site_rules(path: Path) -> SiteRules:
    """Read a rules file; raise ConfigError, which names what is wrong in it, when it is not as it should be."""
    return read_rules(Path(path), SiteRules, "site rules")


def _given(conditions: PulseSequence) -> dict[str, Any]:
    """The conditions that were set, as they are."""
    return {name: getattr(conditions, name) for name in conditions.model_fields_set}


def _override(conditions: Any, rule: Role | None) -> Any:
    """Replace the conditions that ``rule`` gives; in the alternatives they no longer count."""
    if rule is None:
        return conditions
    given = {name: value for name, value in _given(rule).items() if name != "choose" or isinstance(conditions, Role)}
    ways = tuple(
        PulseSequence(**{name: value for name, value in _given(way).items() if name not in given})
        for way in conditions.any_of
    )
    return type(conditions)(**{**_given(conditions), **({"any_of": ways} if ways else {}), **given})


def _error(expected: str, found: str) -> ConfigError:
    return ConfigError(expected=expected, found=found, where="site rules", fix="see docs/site-rules.md", code="E_RULES")
