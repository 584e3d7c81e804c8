"""Dividing units at random so that every part has its share of each class and, when asked, of each site.

Units are known here by their position in the sorted table, so that nothing depends on the order of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpmri_monai.errors import SplitError

Roles = dict[int, str]
"""Role of each unit, by its position."""


def divide(units: pd.DataFrame, shares: dict[str, float], rng: np.random.Generator, by_site: bool, fix: str) -> Roles:
    """Return a role for each row of ``units``: in every class the shares, rounded, and nobody's share is empty.

    Args:
        units: rows with ``label`` and ``site``; their index is what the roles are given to.
        shares: by role; a share of 0 leaves the role out.
        rng: draws.
        by_site: let each site, too, have about these shares in every class.
        fix: what to ask for instead, when a class has too few units for every role to hold one (SplitError).
    """
    shares = {role: share for role, share in shares.items() if share > 0}
    roles: Roles = {}
    for members in _strata(units, len(shares), f"one of every class in {', '.join(shares)}", fix):
        counts = _apportion(len(members), list(shares.values()))
        if by_site:
            drawn = np.roll(_interleaved(list(shares), counts), rng.integers(len(members)))
            order = _site_by_site(units, members, rng)
        else:
            drawn = np.repeat(list(shares), counts)
            order = rng.permutation(members).tolist()
        roles |= dict(zip(order, drawn.tolist(), strict=True))
    return roles


def deal(units: pd.DataFrame, folds: int, rng: np.random.Generator, by_site: bool, fix: str) -> dict[int, int]:
    """Return a fold for each row of ``units``.

    In every class (and, ``by_site``, in every site of a class), and over all, the sizes of the folds differ by at most
    one. Arguments and errors as `divide`.
    """
    fold_of: dict[int, int] = {}
    for members in _strata(units, folds, f"one of every class in each of {folds} folds", fix):
        # Each class begins where the one before stopped, so that the remainders spread over the folds.
        start = len(fold_of)
        order = _site_by_site(units, members, rng) if by_site else rng.permutation(members).tolist()
        fold_of |= {unit: (start + position) % folds for position, unit in enumerate(order)}
    return fold_of


def first_of_each(units: pd.DataFrame, share: float, rng: np.random.Generator) -> set[int]:
    """Return the units that come first, in a random order within each class: its share, rounded, and at least one.

    The order does not depend on the share, so that the units of a smaller one are among those of a larger one.
    """
    chosen: set[int] = set()
    for _, members in units.groupby("label", sort=True):
        order = rng.permutation(members.index).tolist()
        # Halves go up; rounding first, since 0.1 * 25 may be a little less than 2.5.
        chosen |= set(order[: max(1, int(np.floor(np.round(share * len(order), 9) + 0.5)))])
    return chosen


def _strata(units: pd.DataFrame, least: int, wish: str, fix: str) -> list[list[int]]:
    """Return the units of each class, in the order of the table."""
    strata = {str(label): list(rows.index) for label, rows in units.groupby("label", sort=True)}
    if not strata or min(map(len, strata.values())) < least:
        counts = ", ".join(f"{label} {len(members)}" for label, members in strata.items())
        raise SplitError(
            expected=f"at least {wish}",
            found=f"{units.columns[0]}s by worst class: {counts or 'none'}",
            fix=fix,
            code="E_CLASS_EMPTY",
        )
    return list(strata.values())


def _site_by_site(units: pd.DataFrame, members: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Return ``members`` in random order, those of one site behind one another."""
    shuffled = rng.permutation(members)
    sites = units.loc[shuffled, "site"].to_numpy()
    order = {site: rank for rank, site in enumerate(rng.permutation(sorted(set(sites))).tolist())}
    return shuffled[np.argsort([order[site] for site in sites], kind="stable")].tolist()


def _interleaved(roles: Sequence[str], counts: np.ndarray) -> list[str]:
    """Return each role as often as ``counts`` says, spread evenly: any stretch holds about its share of each."""
    places = [
        ((position + 0.5) / count, role) for role, count in zip(roles, counts, strict=True) for position in range(count)
    ]
    return [role for _, role in sorted(places)]


def _apportion(total: int, shares: Sequence[float]) -> np.ndarray:
    """Divide ``total`` by largest remainder; an empty part then takes one from the part most above its share."""
    wanted = total * np.asarray(shares) / np.sum(shares)
    # Rounding first: 0.6 * 0.85 * 20 = 10.2 is 10.199999… or 10.200000…1 depending on how it is written.
    counts = np.floor(np.round(wanted, 9)).astype(int)
    remainders = np.round(wanted - counts, 9)
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1
    while counts.min() == 0:
        giver = np.argmax(np.where(counts > 1, counts - wanted, -np.inf))
        counts[np.argmin(counts)] += 1
        counts[giver] -= 1
    return counts
