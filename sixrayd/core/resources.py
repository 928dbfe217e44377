"""Files that travel with the code: `annotation/`, `manifests/` and the templates of pages."""

from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(folder: str, name: str) -> Path:
    """The path of a file of `annotation/` or `manifests/`, in a wheel or in a checkout."""
    installed = _PACKAGE / folder / name
    return installed if installed.exists() else _PACKAGE.parent / folder / name


def resource_text(folder: str, name: str) -> str:
    """The text of such a file."""
    return resource(folder, name).read_text("utf-8")


def page_of(template: Path, /, **parts: Any) -> str:
    """HTML from a template of ours; all that is put into it is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template.read_text("utf-8")).render(**parts)
