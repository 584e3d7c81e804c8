"""How a check of a bundle says that it has nothing to check."""


class DoesNotApply(Exception):
    """There is nothing to check; the text says why."""
