"""The HTML templates of the reports."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str) -> Template:
    """Return the template ``name``: values are escaped, and one that is missing is an error."""
    return Environment(
        loader=PackageLoader("mpmri_monai.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
