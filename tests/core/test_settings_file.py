"""Settings from a workspace that may be a stranger's, and from the user's own file."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sixrayd.cli import COMMANDS, cli
from sixrayd.core.errors import SettingsError, SixraydError
from sixrayd.core.settings_file import OutsideArgument, OutsideOption, settings_of, user_file
from sixrayd.core.workspace import Workspace


def commands(group: click.Group = cli) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from ((f"{name} {below}", command) for below, command in commands(found))
        else:
            yield name, found


PARAMETERS = [
    (name, parameter)
    for name, command in commands()
    if any(parameter.name == "workspace" for parameter in command.params)
    for parameter in command.params
    if parameter.name != "workspace"
]


def test_what_leads_out_of_a_workspace() -> None:
    found = {
        f"{name} {parameter.opts[0]}"
        for name, parameter in PARAMETERS
        if isinstance(parameter, OutsideOption | OutsideArgument)
    }
    servers = ("push", "adjudicate", "pull", "status", "invite", "practice", "take-over")
    assert found == {
        *("download --release", "download --from", "download --split", "audit --set"),
        *("download --address", "download --shards-at"),
        *("train --init", "benchmark --init", "benchmark --voc", "benchmark --saliency"),
        *("benchmark --regression", "benchmark --split"),
        *("mine --address", "mine --shards-at", "mine --parts-at"),
        *("mine --detections", "mine --coco-images", "estimate --certify", "estimate --force"),
        *("export --out", "export --force", "export --images-from", "export --parent"),
        "review restore archive",
        *("audit --fix", "audit --undo", "report --out", "review push --guidelines"),
        *(f"review {name} --database" for name in ("serve", "backup", "restore")),
        *("estimate --url", "estimate --token-file"),
        *("estimate --seed", "estimate --by", "review withdraw --by"),
        *(f"review {name} {option}" for name in servers for option in ("--url", "--token-file")),
    }


def test_every_path_and_address_is_marked() -> None:
    assert len(PARAMETERS) > 100
    for name, parameter in PARAMETERS:
        said = f"{getattr(parameter, 'help', '')} {parameter.opts[0]}".lower()
        path = isinstance(parameter.type, click.Path)
        if path or any(word in said for word in ("url ", "address", "a file ", "folder ")):
            assert isinstance(parameter, OutsideOption | OutsideArgument), (name, parameter)


def run(folder: Path, text: str, *words: str, users: str = "") -> tuple[int, str]:
    """Write a workspace's file and the user's, run a command: exit code, and what it says."""
    (folder / "w").mkdir(exist_ok=True)
    (folder / "w/sixrayd.toml").write_text(text)
    (folder / "config/sixrayd").mkdir(parents=True, exist_ok=True)
    (folder / "config/sixrayd/config.toml").write_text(users)
    env = {"XDG_CONFIG_HOME": str(folder / "config")}
    done = CliRunner().invoke(cli, [*words, "-w", str(folder / "w")], env=env)
    if isinstance(done.exception, SixraydError):
        return 1, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("words", "text", "named"),
    [
        ("review pull", '[review.pull]\nurl = "https://a.example"', "'url' {}; pass --url"),
        ("review push", '[review.push]\ntoken-file = "t"', "'token-file' {}; pass --token-file"),
        ("export", '[export]\nout = "/elsewhere"', "'out' {}; pass --out"),
        ("benchmark", '[benchmark]\nsplit = "/home/a.json"', "'split' {}; pass --split"),
        ("export", "[export]\nforce = true", "'force' {}; pass --force"),
        ("mine", '[mine]\nparts_at = "s3://a"', "'parts_at' {}; pass --parts-at"),
        ("estimate --sample 5", '[estimate]\nseed = "5 2 6"', "'seed' {}; pass --seed"),
        ("download", '[download]\nfrom = "http://a"', "'from' {}; pass --from"),
        (
            "review restore",
            '[review.restore]\narchive = "a"',
            "'archive' {}; name it in the command or write",
        ),
    ],
)
def test_a_workspace_chooses_nothing_outside(
    tmp_path: Path, words: str, text: str, named: str
) -> None:
    code, said = run(tmp_path, text, *words.split())
    what = named.format("is nothing that a workspace's own file may set, which may be a stranger's")
    assert code == 1
    assert said.startswith(f"{tmp_path}/w/sixrayd.toml: {what}")
    assert "RESTORE_ARCHIVE" not in said  # an argument has no variable
    assert said.endswith(f" or write it to {tmp_path}/config/sixrayd/config.toml")


def test_the_users_own_file_may_and_the_workspaces_beats_it(tmp_path: Path) -> None:
    users = '[review.pull]\nurl = "http://a.example"\nname = "first"\n'
    assert run(tmp_path, "", "review", "pull", users=users)[1].startswith(
        f"{tmp_path}/w/review/first: nothing was pushed"
    )
    own = '[review.pull]\nname = "second"\n'
    assert run(tmp_path, own, "review", "pull", users=users)[1].startswith(
        f"{tmp_path}/w/review/second: nothing was pushed"
    )


def test_a_path_of_the_users_file_may_lie_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    users = '[review.pull]\ntoken-file = "~/none"\n'
    said = run(tmp_path, "", "review", "pull", users=users)[1]
    assert said.endswith(f"token-file = '{tmp_path}/none': File '{tmp_path}/none' does not exist.")


def test_a_users_file_has_an_absolute_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    (tmp_path / "sixrayd").mkdir()
    (tmp_path / "sixrayd/config.toml").write_text("[status]\nspeed = 1\n")
    assert not user_file().is_absolute()
    assert CliRunner().invoke(cli, ["status", "-w", "w"]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mine]\nworkspace = '/'", "'workspace' is no setting of `cli mine`"),
        ("threshold = 1", "threshold = 1: expected settings below [mine]"),
        ("mine.threshold.x = 1", "threshold = {'x': 1}: expected a text or a number"),
        ("[mine]\nthreshold = nan", "threshold = nan: expected a finite number"),
        ("[mine]\nthreshold = true", "threshold = True: expected a text or a number"),
        (
            '[mine]\nthreshold = "\\u001b[31m"',
            "threshold = '\\x1b[31m': expected one line of at most 2000 printable signs",
        ),
        ('[mine]\nname = "\\u0085"', "name = '\\x85': expected one line of at most 2000"),
        (f"[mine]\nshards = ['{'a' * 2001}']", f"shards = ['{'a' * 97}…: expected one line of"),
        ("[mine]\nbatch = 2.5", "batch = 2.5: expected a whole number"),
        ("[mine]\nbatch = [1]", "batch = [1]: expected one value, found a list"),
        ("[mine]\nbatch = 1979-05-27", "batch = datetime.date(1979, 5, 27): expected a text or"),
        (f"[mine]\nbatch = 0x1{'0' * 4000}", "batch = a number of too many digits: expected at"),
        (f"[mine]\nbatch = {'9' * 5000}", "not TOML: Exceeds the limit (4300 digits)"),
        ("[mine]\nmirror = 1", "mirror = 1: expected true or false"),
        ('[mine]\nshards = "a"', "shards = 'a': expected a list"),
        ('[mine]\ncrop = "all"', "crop = 'all': 'all' is not one of 'none', 'tdc', 'tiles'."),
        ("[mine]\n'a\\u001bb' = 1", "'a\\\\u001bb' is no setting of `cli mine`"),
        (f"x = {'[' * 3000}", "not TOML: nested too deeply"),
        ("[review]\nname = 'a'", "review.name = 'a': expected settings below [review.status]"),
        ("[review]\npull = 1", "review.pull = 1: expected settings below [review.pull]"),
        (
            "[mine]\ntres-hold = 1",
            "'tres-hold' is no setting of `cli mine`; did you mean `threshold`?",
        ),
        (
            "[miene]\nthreshold = 1",
            f"[miene] is no command; known are {', '.join(COMMANDS)}; did you mean `mine`?",
        ),
        ("[review.pul]", "[review.pul] is no command; known are adjudicate, agreement"),
        ("a." * 500_000 + "a = 1", "not TOML: line 1 has 500000 dots; break long lines"),
        ("#" * (1 << 20) + "#", "not TOML: more than 1048576 bytes"),
    ],
)
def test_odd_files_end_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    words = ("review", "status") if "review" in text else ("mine", "--dry-run")
    code, said = run(tmp_path, text, *words)
    assert (code, said[: len(f"{tmp_path}/w/sixrayd.toml: {message}")]) == (
        1,
        f"{tmp_path}/w/sixrayd.toml: {message}",
    )


def test_help_shows_no_signs_that_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "sixrayd.toml").write_text('[train]\nsplit = "\\u001b]0;x\\u0007\\nnext: y"')
    answer = CliRunner().invoke(cli, ["train", "-w", str(tmp_path), "--help"])
    assert "\x1b" not in answer.output and "\x07" not in answer.output
    assert isinstance(answer.exception, SettingsError)


SIGNS = st.text(max_size=20)
SCALARS = st.one_of(
    SIGNS, st.booleans(), st.floats(), st.integers(-(1 << 70), 1 << 70), st.dates(), st.times()
)
VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3), max_leaves=5)


def as_toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value) + '"'
    return str(value).lower()


KEYS = sorted({str(p.name) for name, p in PARAMETERS if name in ("mine", "benchmark")})


@given(st.sampled_from(["mine", "benchmark"]), st.sampled_from(KEYS), VALUES)
@example("mine", "batch", 10**400)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_value_of_a_file_is_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, command: str, key: str, value: object
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = f"[{command}]\n{key} = {as_toml(value)}\n"
    (folder / "sixrayd.toml").write_text(text)
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    context = click.Context(found, click.Context(cli, info_name="sixrayd"), command)
    try:
        given = settings_of(context, folder)
    except SettingsError as error:
        assert str(error).startswith(f"{folder}/sixrayd.toml: ")
        assert str(error).isprintable()
    else:
        assert given == tomllib.loads(text)[command]
        for parameter in found.params:
            if parameter.name in given:
                parameter.type_cast_value(context, given[parameter.name])


@given(st.binary(max_size=60) | st.text("[]{}.=\"'\n ae1", max_size=40).map(str.encode))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_file_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "sixrayd.toml").write_bytes(data)
    context = click.Context(click.Command("x"), info_name="x")
    try:
        assert settings_of(context, folder) == {}
    except SettingsError as error:
        assert str(error).isprintable()
    assert Workspace(folder).folders("mine") == []
