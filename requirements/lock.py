"""Write the locked requirements from pyproject.toml; `make lock LOCK=--upgrade` takes new versions.

torch and what only torch brings stay without hashes: its builds differ by platform and accelerator.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from sixrayd.review.label_studio.environment import BUILDERS, PINS, VERSION

HERE = Path(__file__).resolve().parent
PROJECT, BUILD = HERE.parent / "pyproject.toml", HERE / "build.in"
READERS = HERE / "readers.in"
TORCH = re.compile(r"(torch|torchvision|triton|nvidia-.+|cuda-.+)$")
_UV = ("pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--no-annotate")
_HEAD = "# Written by `make lock`: edit what it reads instead.\n"


def pins(text: str) -> dict[str, str]:
    """The lines of each package, with markers and hashes; several versions where markers differ."""
    found: dict[str, str] = {}
    for pin in re.findall(r"^[a-z0-9].*\n(?:    .*\n)*", text, re.MULTILINE):
        name = re.split(r"[ =;]", pin, maxsplit=1)[0]
        found[name] = found.get(name, "") + pin
    return found


def resolved(known: str, *options: str | Path) -> dict[str, str]:
    """What uv finds; versions that are known are kept where they fit."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.txt")
        out.write_text(known, "utf-8")
        command = (sys.executable, "-m", "uv", *_UV, "--no-header", f"--output-file={out}")
        subprocess.run([*command, *options], check=True, cwd=HERE.parent)  # noqa: S603
        return pins(out.read_text("utf-8"))


def resolved_apart(files: Iterable[Path], *options: str | Path) -> dict[str, str]:
    """What goes into an environment of its own, of which files hold what was locked before."""
    known = "".join(path.read_text("utf-8") for path in files if path.exists())
    return resolved(known, "--generate-hashes", *options)


def write(path: Path, found: Mapping[str, str], names: Iterable[str]) -> None:
    path.write_text(_HEAD + "".join(found[name] for name in sorted(names)), "utf-8")


def main(*options: str) -> None:
    files = sorted(path for path in HERE.glob("*.txt") if path.stem != READERS.stem)
    known = "".join(path.read_text("utf-8") for path in files)
    found = resolved(known, PROJECT, BUILD, "--extra=dev", "--generate-hashes", *options)
    chosen = "".join(found.values())
    torch = {name for name in found if TORCH.match(name)}
    build = resolved(chosen, BUILD).keys() - torch
    demo = resolved(chosen, PROJECT, "--extra=demo").keys() - build - torch
    write(HERE / "build.txt", found, build)
    write(HERE / "demo.txt", found, demo)
    write(HERE / "dev.txt", found, found.keys() - demo - build - torch)
    versions = {
        name: re.sub(r"(\+\S+)?( ;.*|\\)?\n.*", "\n", found[name], flags=re.DOTALL)
        for name in ("torch", "torchvision")
    }
    write(HERE / "torch.txt", versions, versions)
    readers = resolved_apart([HERE / "readers.txt"], READERS, *options)
    write(HERE / "readers.txt", readers, readers)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "label-studio.in")
        wanted.write_text(f"label-studio=={VERSION}\n", "utf-8")
        # Whoever installs sixrayd makes this one, on any system.
        studio = resolved_apart([BUILDERS, PINS], wanted, "--no-config", *options)
    builders = {"setuptools", "wheel"}
    write(BUILDERS, studio, builders)
    write(PINS, studio, studio.keys() - builders)


if __name__ == "__main__":
    main(*sys.argv[1:])
