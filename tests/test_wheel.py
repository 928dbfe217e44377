"""The built wheel, installed where no checkout is near, and the sources that it is built from."""

import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import click
import pytest
import yaml
from packaging.metadata import Metadata
from trove_classifiers import classifiers

import sixrayd

ROOT = Path(__file__).resolve().parent.parent


def built(source: Path, out: Path, umask: int = 0o022) -> tuple[Path, Path]:
    """The sdist of a tree, and the wheel that is built from it."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source))
    subprocess.run(command, check=True, capture_output=True, umask=umask)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def wheel(release):
    return release[1]


def unpacked(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


@pytest.mark.long
def test_the_wheel_brings_annotation_and_manifests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {
        "sixrayd/annotation/labelling.xml",
        "sixrayd/annotation/guidelines.md.jinja",
        "sixrayd/annotation/guidelines.html",
        "sixrayd/annotation/images/gun.jpg",
        "sixrayd/manifests/classes.toml",
        "sixrayd/manifests/sources.toml",
        "sixrayd/benchmark/report/page.html.jinja",
        "sixrayd/api.pyi",
        "sixrayd/py.typed",
        "sixrayd/review/label_studio/builders.txt",
        "sixrayd/review/label_studio/pins.txt",
        "sixrayd/review/label_studio/inside/sixrayd_settings.py",
    } <= names
    folders = {name.partition("/")[0] for name in names}
    assert folders == {"sixrayd", "sixrayd-0.1.0.dist-info"}


@pytest.mark.long
def test_the_wheel_brings_its_terms(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in ("LICENSE", "NOTICE"):
            inside = archive.read(f"sixrayd-0.1.0.dist-info/licenses/{name}")
            assert inside == (ROOT / name).read_bytes()


@pytest.mark.long
def test_the_metadata_is_what_an_index_takes(release, tmp_path):
    with zipfile.ZipFile(release[1]) as archive:
        wheel = archive.read("sixrayd-0.1.0.dist-info/METADATA")
    sdist = (unpacked(release[0], tmp_path) / "PKG-INFO").read_bytes()

    about = Metadata.from_email(wheel, validate=True)  # raises for each field that is not valid

    assert sdist == wheel
    assert (about.name, str(about.version)) == ("sixrayd", "0.1.0")
    assert (about.license_expression, about.license_files) == ("Apache-2.0", ["LICENSE", "NOTICE"])
    assert about.description == (ROOT / "README.md").read_text("utf-8")
    assert about.description_content_type == "text/markdown"
    assert {"browse", "docs", "review"} <= set(about.provides_extra)
    assert all(classifier in classifiers for classifier in about.classifiers)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    keys = {"cff-version", "title", "message", "type", "license", "version", "authors"}

    assert keys <= citation.keys()
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", "sixrayd")
    assert citation["version"] == sixrayd.__version__
    assert citation["references"][0]["doi"] == "10.3390/mi13040565"


@pytest.mark.long
def test_other_folders_times_and_modes_give_the_same_bytes(release, tmp_path):
    tree = unpacked(release[0], tmp_path / "elsewhere")
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (time.time(), 1_500_000_000))
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)

    again = built(tree, tmp_path / "again", umask=0o077)

    assert [path.name for path in again] == [path.name for path in release]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in release]


@pytest.mark.long
def test_the_sdist_brings_what_the_tests_need(release, tmp_path):
    tree = unpacked(release[0], tmp_path)
    brought = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
    folders = (
        "annotation",
        "benchmarks",
        "docs",
        "manifests",
        "notebooks",
        "requirements",
        "tests",
    )
    present = {
        path.relative_to(ROOT)
        for folder in (*folders, "sixrayd")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert present - brought == set()
    top = {str(path) for path in brought if len(path.parts) == 1}
    assert {"Makefile", "NOTICE", "LICENSE", "pyproject.toml", "README.md", "SECURITY.md"} <= top


@pytest.mark.long
def test_the_tests_of_the_sdist_run(release, tmp_path):
    tree = unpacked(release[0], tmp_path)
    tests = ("tests/core/test_boxes.py", "tests/test_imports.py", "tests/test_requirements.py")
    run = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}

    done = subprocess.run(run, cwd=tree, env=clean, capture_output=True, text=True)

    assert (done.returncode, " passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.long
def test_the_wheel_is_installed_in_a_fresh_environment(wheel, tmp_path):
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True)
    python = str(fresh / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)],
        check=True,
    )
    (site,) = fresh.glob("lib/python*/site-packages")
    needed = str(Path(click.__file__).parent.parent)  # what else pip would bring
    (site / "needed.pth").write_text(needed + "\n", "utf-8")
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def said(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
        )
        return done.stdout

    where = said(python, "-c", "import sixrayd; print(sixrayd.__file__)").strip()
    assert Path(where) == site / "sixrayd" / "__init__.py"
    assert said(str(fresh / "bin" / "sixrayd"), "--help").startswith("Usage: sixrayd ")


@pytest.mark.long
def test_the_wheel_runs_without_a_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "from sixrayd.core.classes import ClassList; from sixrayd.core.resources import resource;"
        "import sixrayd; print(sixrayd.__file__); print(ClassList().canonical('plier'));"
        "print(resource('annotation', 'labelling.xml').exists());"
        "from sixrayd.cli import main; import sys; sys.argv = ['sixrayd', '--version']; main()"
    )

    # -P keeps this folder off the path, and site comes before an editable install.
    answer = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == [
        str(site / "sixrayd" / "__init__.py"),
        "Pliers",
        "True",
        "sixrayd, version 0.1.0",
    ]
