"""What `make` installs is pinned and checked, and nothing else comes in beside it."""

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements.licences import brought
from requirements.lock import TORCH, pins
from sixrayd.review.label_studio.environment import BUILDERS, PINS, VERSION

ROOT = Path(__file__).resolve().parent.parent
FILES = {name: ROOT / "requirements" / f"{name}.txt" for name in ("build", "demo", "dev", "torch")}
LOCKED = {name: pins(path.read_text("utf-8")) for name, path in FILES.items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def required(*extras: str) -> set[str]:
    """Names that pyproject.toml gives, for the package and some extras."""
    texts = [*PROJECT["dependencies"]]
    texts += [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    needs = [Requirement(text) for text in texts]
    inner = {extra for need in needs for extra in need.extras if need.name == "sixrayd"}
    names = {canonicalize_name(need.name) for need in needs} - {"sixrayd"}
    return names | (required(*inner) if inner else set())


def test_each_package_stands_in_one_file():
    counts = Counter(name for found in LOCKED.values() for name in found)

    assert len(counts) > 200
    assert [name for name, count in counts.items() if count > 1] == []


CHECKED = (*(FILES[name] for name in ("build", "demo", "dev")), BUILDERS, PINS)


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.stem)
def test_each_pin_is_one_version_with_hashes_and_no_address(path):
    text = path.read_text("utf-8")
    pin = re.compile(
        r"[a-z0-9-]+==[0-9a-z.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    )

    head, _, rest = text.partition("\n")
    assert head.startswith("# Written by `make lock`")
    assert pin.sub("", rest) == ""
    assert "//" not in rest
    assert [package for package in pins(text) if TORCH.match(package)] == []


def test_label_studio_is_pinned_to_the_version_that_we_name():
    assert pins(PINS.read_text("utf-8"))["label-studio"].startswith(f"label-studio=={VERSION} ")
    assert pins(BUILDERS.read_text("utf-8")).keys() == {"setuptools", "wheel"}


def test_torch_is_pinned_without_the_label_of_a_build():
    _, torch, vision = (ROOT / "requirements" / "torch.txt").read_text("utf-8").splitlines()

    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", torch)
    assert re.fullmatch(r"torchvision==\d+\.\d+\.\d+", vision)


def test_all_that_pyproject_names_is_pinned():
    demo = LOCKED["build"].keys() | LOCKED["demo"].keys() | {"torch"}

    assert len(required("demo")) > 30
    assert required("demo") - demo == set()
    assert required("dev") - demo - LOCKED["dev"].keys() - {"torchvision"} == set()


@pytest.mark.parametrize(("extra", "files"), [("demo", ("build", "demo")), ("dev", LOCKED)])
def test_all_that_is_installed_is_pinned(extra, files):
    pinned = {"sixrayd", *(package for name in files for package in LOCKED[name])}
    needed = {name for name in brought("sixrayd", (extra,), set()) if not TORCH.match(name)}

    assert len(needed) > 100
    assert needed - pinned == set()


def test_pip_checks_all_but_torch_and_sixrayd_itself():
    command = ("make", "--dry-run", "--always-make", ".venv/dev.stamp")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    calls = [line.partition(" -m pip install ")[2] for line in done.stdout.splitlines()]
    quiet = "--quiet --disable-pip-version-check --no-build-isolation"

    assert [call.removeprefix(quiet).strip() for call in calls if call] == [
        "--no-deps --require-hashes -r requirements/build.txt",
        "--no-deps --require-hashes -r requirements/demo.txt",
        "-c requirements/torch.txt torch",
        "--no-deps -e .",
        "--no-deps --require-hashes -r requirements/dev.txt",
        "-r requirements/torch.txt",
    ]
