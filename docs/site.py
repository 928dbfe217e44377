"""A hook of MkDocs: pages of the site that lie beside this folder, links to them, the reference."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import sixrayd.api

ROOT = Path(__file__).resolve().parent.parent
BESIDE = (
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "annotation/guidelines.html",
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("annotation/images/*"))),
)


def on_files(files: Files, config: Any) -> Files:
    """Take in what lies beside."""
    for uri in BESIDE:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """In the site all pages lie in one folder."""
    text = re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)
    return text + "\n".join(reference()) if page.file.src_uri == "api.md" else text


def reference() -> Iterator[str]:
    """All names of `sixrayd.api` with what they take and what they say of themselves."""
    yield "\n## Reference\n"
    for name in sixrayd.api.__all__:
        found = getattr(sixrayd.api, name)
        yield f"### {name}\n\n```text\n{name}({', '.join(parameters(found))})\n"
        yield f"{inspect.getdoc(found) or ''}\n```\n"


def parameters(found: Any) -> Iterator[str]:
    """`name: type`, and whether there is a default; module names are left out."""
    if isinstance(found, type) and issubclass(found, Exception):
        return
    for each in inspect.signature(found).parameters.values():
        kind = inspect.formatannotation(each.annotation)
        short = re.sub(r"\b(?:\w+\.)+(?=[A-Za-z_])", "", kind)
        yield f"{each.name}: {short}" + " = …" * (each.default is not each.empty)
