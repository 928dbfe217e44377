"""The review's commands: their help, their documents, and failures in one line."""

import json
import sys
from dataclasses import asdict

import click
import pytest
from click.testing import CliRunner

from sixrayd.cli import main
from sixrayd.core.workspace import Workspace
from sixrayd.review.agreement import agreement
from sixrayd.review.command import review
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.command import _welcome
from sixrayd.review.label_studio.server import Server
from sixrayd.review.next_round import NextRound
from sixrayd.review.settings import AgreementSettings
from tests.review.label_studio.test_backup import small
from tests.workspaces import BOB, Small

COMMANDS = {
    "serve": "Start the workspace's own Label Studio.",
    "stop": "End the workspace's own Label Studio.",
    "backup": "Back up Label Studio and all reviews.",
    "restore": "Put a backup back.",
    "plant": "Plant known threats in clean negatives.",
    "rates": "Say who found what was planted.",
    "practice": "Have people practise on known positives.",
    "push": "Send images to reviewers.",
    "adjudicate": "Send unsettled images to an adjudicator.",
    "pull": "Fetch new and changed decisions.",
    "status": "Say how far the reviewers are.",
    "withdraw": "Withdraw decisions about images.",
    "next": "Write what the next round trains on.",
    "agreement": "Say how far reviewers agree.",
    "invite": "Print the link by which a new person joins.",
    "take-over": "Give a reviewer's rest to another.",
}


def said(*words):
    return CliRunner().invoke(review, list(map(str, words)))


@pytest.fixture
def workspace(tmp_path):
    return Small().build(tmp_path / "workspace")


@pytest.fixture
def failure(monkeypatch, capsys):
    """What the program says of a command that ends with an expected failure."""
    monkeypatch.setenv("SIXRAYD_MEMORY", "none")  # the process is that of all tests

    def failure(*words):
        monkeypatch.setattr(sys, "argv", ["sixrayd", "review", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        told = capsys.readouterr()
        assert told.out == ""
        *progress, line = told.err.splitlines()
        assert all(shown.startswith("push ") for shown in progress)  # the bar
        return line

    return failure


def test_the_commands_of_the_review():
    assert {name: command.short_help for name, command in review.commands.items()} == COMMANDS
    shown = said("--help")
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert set(lines) >= {f"{name} {words}" for name, words in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    shown = said(name, "--help")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert f"sixrayd review {name}" in shown.stdout.partition("Example:")[2]
    assert "-w, --workspace" in shown.stdout
    for option in review.commands[name].params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.opts[-1].startswith("--") and "_" not in option.opts[-1]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_that_tells_something_tells_it_as_json(name):
    assert "--json" in said(name, "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push", "--limit", 0], "Invalid value for '--limit': 0 is not in the range x>=1."),
        (["push", "--limit", "many"], "Invalid value for '--limit': 'many' is not a valid integer"),
        (["push", "--reviewers", 10], "'--reviewers': 10 is not in the range 1<=x<=9."),
        (["push", "--share", 1.1], "Invalid value for '--share': 1.1 is not in the range 0<=x<=1."),
        (["push", "--from", "negatives"], "'--from': 'negatives' is not one of 'mining',"),
        (["push", "--token-file", "none"], "'--token-file': File 'none' does not exist."),
        (["push", "first"], "Got unexpected extra argument (first)"),
        (["status", "--watch", 0.5], "Invalid value for '--watch': 0.5 is not in the range x>=1."),
        (["status", "--watch", 5, "--json"], "--watch shows a table; leave out --json"),
        (["withdraw", "--reason", "r", "--by", "b"], "Missing argument 'IMAGES...'."),
        (["withdraw", "N1", "--by", "b"], "Missing option '--reason'."),
        (["withdraw", "N1", "--reason", "r"], "Missing option '--by'."),
        (["next", "--consensus", "loudest"], "'--consensus': 'loudest' is not one of"),
        (["agreement", "--consensus", ""], "'--consensus': '' is not one of 'adjudicator',"),
        (["serve", "--port", 65536], "'--port': 65536 is not in the range 0<=x<=65535."),
        (["plant", "--share", 0], "'--share': 0.0 is not in the range 0<x<=0.02."),
        (["plant", "--share", 0.03], "'--share': 0.03 is not in the range 0<x<=0.02."),
        (["settle"], "No such command 'settle'."),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for(tmp_path, words, message):
    where = ["-w", tmp_path / "workspace"] if words[0] in COMMANDS else []
    shell = said(words[0], *where, *words[1:])
    assert (shell.exit_code, shell.stdout) == (2, "")
    assert message in " ".join(shell.stderr.split())
    assert not (tmp_path / "workspace").exists()


def test_agreement_is_one_document_and_the_file_beside_it(workspace):
    shell = said("agreement", "-w", workspace.root, "--json", "--consensus", "strictest")
    assert (shell.exit_code, shell.stderr) == (0, "")
    document = json.loads(shell.stdout)
    settings = AgreementSettings(rule="strictest")
    assert document == json.loads(json.dumps(asdict(agreement(workspace, settings))))
    assert (document["rule"], document["shared"], document["open_conflicts"]) == ("strictest", 1, 0)
    assert (
        json.loads(said("agreement", "-w", workspace.root, "--json").stdout)["open_conflicts"] == 1
    )


def test_agreement_under_pseudonyms_names_nobody(workspace):
    for more in ([], ["--json"]):
        shell = said("agreement", "-w", workspace.root, "--pseudonyms", *more)
        assert shell.exit_code == 0
        assert "reviewer-" in shell.stdout and "example.org" not in shell.output


def test_the_next_set_names_the_next_command(workspace):
    shell = said("next", "-w", workspace.root)
    assert (shell.exit_code, shell.stderr) == (0, "")
    assert shell.stdout == (
        "first: 2 positives (2 found, 0 corrected), 1 hard negative, 3 left out; "
        "1 of the test side are not used\n"
        f"train on it: sixrayd train --round first --init MODEL --name NEW -w {workspace.root}\n"
        f"next: sixrayd estimate -w {workspace.root}\n"
    )
    document = json.loads(said("next", "-w", workspace.root, "--json").stdout)
    assert NextRound(**document).left_out == 3
    by_strictest = said("next", "-w", workspace.root, "--json", "--consensus", "strictest")
    assert json.loads(by_strictest.stdout)["found"] == 3


def test_a_withdrawal_says_what_stays_on_the_server(workspace):
    ReviewFolder(workspace, "first").new_project("local")
    words = ["-w", workspace.root, "--reason", "wrong bag", "--by", "carl"]
    shell = said("withdraw", "N0000002", "N0000003", *words)
    assert (shell.exit_code, shell.stdout) == (
        0,
        "first: 2 decisions withdrawn in decisions/00003.parquet\n"
        f"next: sixrayd review serve --background -w {workspace.root}\n",
    )
    assert shell.stderr == (
        "They stay submitted on the server, and count again if they are changed there.\n"
    )
    shell = said("withdraw", "N0000004", *words, "--json")
    expected = {"name": "first", "withdrawn": 1, "file": "decisions/00004.parquet"}
    assert (json.loads(shell.stdout), shell.stderr) == (expected, "")


def test_options_may_stand_in_the_workspaces_file(workspace):
    (workspace.root / "sixrayd.toml").write_text('[review.agreement]\nconsensus = "strictest"\n')
    document = json.loads(said_by_program("agreement", "-w", workspace.root, "--json"))
    assert document["rule"] == "strictest"
    document = json.loads(
        said_by_program("agreement", "-w", workspace.root, "--json", "--consensus", "majority")
    )
    assert document["rule"] == "majority"


def said_by_program(*words):
    from sixrayd.cli import cli

    shell = CliRunner().invoke(cli, ["review", *map(str, words)], prog_name="sixrayd")
    assert shell.exit_code == 0, shell.output
    return shell.stdout


def test_an_unknown_setting_of_the_workspace_is_no_surprise(workspace, failure):
    path = workspace.root / "sixrayd.toml"
    path.write_text("[review.push]\nlimits = 5\n")
    assert failure("push", "-w", workspace.root) == (
        f"error: {path}: 'limits' is no setting of `sixrayd review push`; did you mean `limit`?"
    )


@pytest.mark.parametrize("command", ["pull", "status", "push", "adjudicate"])
def test_without_a_server_the_message_says_how_to_start_one(workspace, failure, command):
    ReviewFolder(workspace, "first").new_project("local")
    assert failure(command, "-w", workspace.root) == (
        f"error: {workspace.root}: its Label Studio is not running; start it with "
        f"`sixrayd review serve --background -w {workspace.root}`, or name another "
        "server with --url"
    )
    assert workspace.names("review") == ["first"]  # as finished as it was


@pytest.mark.parametrize("command", ["pull", "status", "adjudicate"])
def test_before_a_push_there_is_nothing_to_ask_about(tmp_path, failure, command):
    assert failure(command, "-w", tmp_path) == (
        f"error: {tmp_path / 'review'}: nothing yet; run `sixrayd review push -w {tmp_path}` first"
    )
    assert failure(command, "-w", tmp_path, "--name", "first") == (
        f"error: {tmp_path / 'review' / 'first'}: nothing was pushed, or not to the end; "
        f"run `sixrayd review push --name first -w {tmp_path}`"
    )


@pytest.mark.parametrize("command", ["pull", "status", "adjudicate", "invite"])
def test_a_mistyped_review_is_not_advised_to_be_pushed(workspace, failure, command):
    assert failure(command, "-w", workspace.root, "--name", "frist") == (
        f"error: {workspace.folder('review', 'frist')}: no such review; "
        "name one that is there: first"
    )


def test_another_server_needs_https_and_a_token(workspace, failure, monkeypatch):
    monkeypatch.delenv("SIXRAYD_LABEL_STUDIO_TOKEN", raising=False)
    url = "https://labels.example.org"
    assert failure("push", "-w", workspace.root, "--url", url) == (
        f"error: {url}: no token; set SIXRAYD_LABEL_STUDIO_TOKEN or pass --token-file with a token "
        "from Label Studio's page Account & Settings"
    )
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", "a-token-that-must-not-be-shown")
    plain = "http://labels.example.org"
    assert failure("push", "-w", workspace.root, "--url", plain) == (
        f"error: --url {plain}: plain http would show the token to the network; use https"
    )
    assert ReviewFolder(workspace, "first").project() is None


def test_commands_that_come_too_early_say_what_comes_first(tmp_path, failure):
    nothing = f"error: {tmp_path / 'mine'}: nothing yet; run `sixrayd mine -w {tmp_path}` first"
    for command in ("push", "plant", "rates"):
        assert failure(command, "-w", tmp_path) == nothing
    pushing = f"sixrayd review push -w {tmp_path}"
    first = f"error: {tmp_path / 'review'}: nothing yet; run `{pushing}` first"
    for command in ("agreement", "next"):
        assert failure(command, "-w", tmp_path) == first
    withdrawn = ["withdraw", "N1", "-w", tmp_path, "--reason", "r", "--by", "b"]
    assert failure(*withdrawn) == first


def test_what_is_of_no_use_is_named_with_its_image(workspace, failure):
    ReviewFolder(workspace, "first").new_project("local")
    words = ["-w", workspace.root, "--reason", "r", "--by", "b", "--reviewer", BOB]
    assert failure("withdraw", "N0000001", *words) == (
        f"error: {workspace.folder('review', 'first')}: no decision of {BOB} on 'N0000001' stands; "
        "nothing withdrawn"
    )


def test_a_backup_and_its_way_back(tmp_path):
    workspace = small(tmp_path)
    shell = said("backup", "-w", tmp_path)
    (made,) = (tmp_path / "review" / "server" / "backups").iterdir()
    assert (shell.exit_code, shell.stdout) == (0, f"{made}: 1 task, 0 annotations\n")
    project = workspace.folder("review", "r") / "project.json"
    project.write_text('{"later": 1}')
    shell = said("restore", made, "-w", tmp_path)
    first, second, last = shell.stdout.splitlines()
    assert last == f"next: sixrayd download --release FOLDER -w {tmp_path}"
    assert first == f"{made}: 1 task, 0 annotations are back"
    (aside,) = (tmp_path / "review" / "server").glob("replaced-*")
    assert second == f"What was there is now in {aside}"
    assert shell.stderr == "review/r/project.json: differs from the backup; yours was kept\n"
    project.unlink()
    document = json.loads(said("restore", "-w", tmp_path, "--json").stdout)
    assert (document["file"], document["tasks"], document["kept"]) == (str(made), 1, [])
    document = json.loads(said("backup", "-w", tmp_path, "--json").stdout)
    assert (document["tasks"], document["annotations"]) == (1, 0)
    assert document["size"] > 100 and document["file"] != str(made)


def test_backups_that_cannot_be_made_or_put_back(tmp_path, failure):
    server = tmp_path / "review" / "server"
    assert failure("backup", "-w", tmp_path) == (
        f"error: {server / 'data' / 'label_studio.sqlite3'}: missing; "
        "Label Studio has not been started here yet"
    )
    assert failure("restore", "-w", tmp_path) == f"error: {server / 'backups'}: no backup here"
    assert failure("restore", tmp_path / "gone.tar.gz", "-w", tmp_path) == (
        f"error: {tmp_path / 'gone.tar.gz'}: no such file; "
        f"without a name the newest of {server / 'backups'} is taken"
    )
    odd = tmp_path / "odd.tar.gz"
    odd.write_bytes(b"no archive")
    assert failure("restore", odd, "-w", tmp_path) == (
        f"error: {odd}: not a whole backup: not a gzip file; take another"
    )


def test_a_server_that_starts_names_the_invitation_with_its_workspace(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    server = Server("http://127.0.0.1:1", 1, "ann", "t", tmp_path / "secret.json")
    line = f"`sixrayd review invite -w {tmp_path}` prints each reviewer's link to join by"
    _welcome(workspace, server)
    assert capsys.readouterr().out.splitlines()[2:] == [
        f"Once there is a push, {line}",
        f"{tmp_path} holds no release and no review; -w names another workspace",
    ]
    workspace.folder("review", "first").mkdir(parents=True)
    (workspace.folder("review", "first") / "project.json").write_text("{}")
    _welcome(workspace, server)
    assert capsys.readouterr().out.splitlines()[2:] == [line]


def test_a_server_that_is_not_up_need_not_be_stopped(tmp_path):
    shell = said("stop", "-w", tmp_path)
    assert (shell.exit_code, shell.output) == (
        0,
        f"Label Studio was not running.\nnext: sixrayd download --release FOLDER -w {tmp_path}\n",
    )
    assert said("stop", "--json", "-w", tmp_path).stdout == '{\n  "ended": false\n}\n'
