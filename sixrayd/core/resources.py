"""Files that travel with the code: `annotation/` and `manifests/`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(folder: str, name: str) -> Path:
    """The path of a file of `annotation/` or `manifests/`, in a wheel or in a checkout."""
    installed = _PACKAGE / folder / name
    return installed if installed.exists() else _PACKAGE.parent / folder / name


def resource_text(folder: str, name: str) -> str:
    """The text of such a file."""
    return resource(folder, name).read_text("utf-8")
