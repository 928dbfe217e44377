"""Assembles the commands; each stage is imported only when its command is called."""

import importlib
import shlex
import signal
import sys
from typing import Any

import click

import sixrayd
from sixrayd.core.home import with_home
from sixrayd.core.memory import MemorySize, is_of_memory, keep_within, limit_reached, usual_limit

# Command → one line of help; the command itself lives in sixrayd/NAME/command.py.
COMMANDS = {
    "synth": "Write a synthetic release in SIXray's format.",
    "download": "Take a release: check it and write shards, index and annotations.",
    "audit": "Say what is wrong with a release: images, labels, boxes, duplicates.",
    "train": "Train a detector on the release's positives.",
    "mine": "Run the detector over the negatives and rank candidates.",
    "review": "Send candidates to people in Label Studio and bring decisions back.",
    "plan": "Divide reviewers' hours, and say what they will bring.",
    "estimate": "Say what is still missed, and draw spot checks for it.",
    "export": "Write the corrected dataset: VOC, COCO, YOLO, Parquet or WebDataset.",
    "validate": "Check an export wherever it lies: files, tables, labels.",
    "verify": "Compute again what a certificate says is still missed.",
    "diff": "Say what changed between two releases, exports or other sets.",
    "patch": "Show a patch of labels that `diff` wrote, or apply it.",
    "benchmark": "Compare detectors and crops on the corrected dataset, or on any VOC tree.",
    "browse": "Open the workspace in FiftyOne.",
    "report": "Write one page on the whole workspace, with pictures.",
    "status": "Say what is done, what is stale, and what to run next.",
    "demo": "Run the whole pipeline on a synthetic release.",
}
OF_ITS_OWN = object()  # says that the process is the command's, which may limit it


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"sixrayd.{cmd_name}.command"), cmd_name
        )
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, [with_home(word) for word in args])
        except click.NoSuchOption as error:
            text = f"{error.message} A command's options follow it: sixrayd status --json"
            raise click.UsageError(text, ctx) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        most = ctx.params["memory"]
        most = usual_limit(args[0]) if most is None else most
        if most and ctx.obj is OF_ITS_OWN:
            keep_within(most)  # before the command's modules are loaded
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            for meant in get_close_matches(args[0], COMMANDS, 1):
                error.message += f" Did you mean {meant!r}?"  # type: ignore[misc]
            raise

    def invoke(self, ctx: click.Context) -> Any:
        from sixrayd.core.errors import printable

        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:  # a group's help, which has lines
            raise
        except click.UsageError as error:  # may quote what a file says
            error.message = printable(error.message)  # type: ignore[misc]
            raise
        except KeyboardInterrupt:
            from sixrayd.core.printing import echo

            line = shlex.join(["sixrayd", *sys.argv[1:]])
            echo(f"interrupted; what is finished is kept, go on with: {line}", err=True)
            sys.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands, in the order of the pipeline"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"auto_envvar_prefix": "SIXRAYD"})
@click.version_option(sixrayd.__version__, prog_name="sixrayd")
@click.option(
    "--memory",
    type=MemorySize(),
    help="What a command itself may take at most, such as 8GB, or none. [default: 4GB, of `export` "
    "8GB, where a detector runs all that the machine has, and 32MB for each core; none where a "
    "detector may run on a GPU]",
)
def cli(memory: int | None) -> None:
    """Find what SIXray's negatives hide, have people decide, and export SIXray-D.

    \b
    Example:
      sixrayd download --release release/ && sixrayd train && sixrayd mine
    """


def main() -> None:
    """Entry point: expected failures and storage that refuses end in one line and exit code 1."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends without a word: nothing is begun
    from sixrayd.core.children import keep_to_safe_paths
    from sixrayd.core.cores import share_cores
    from sixrayd.core.errors import SixraydError
    from sixrayd.core.pace import leave
    from sixrayd.core.printing import echo
    from sixrayd.core.storage import is_refusal, refusal, unfit_path, without_threads

    keep_to_safe_paths()
    share_cores()
    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli(prog_name="sixrayd", obj=OF_ITS_OWN)
    except (SixraydError, OSError, UnicodeEncodeError, RuntimeError) as error:
        said: object = error
        if isinstance(error, UnicodeEncodeError):
            said = unfit_path(error)
        elif isinstance(error, RuntimeError):
            said = None if is_of_memory(error) else without_threads(error)
            if said == "":
                raise
        elif not isinstance(error, SixraydError):
            if not is_refusal(error):
                raise
            said = refusal(error)
    except MemoryError:
        said = None  # told of once the memory is free again that the error's frames hold
    echo(f"error: {limit_reached() if said is None else said}", err=True)
    leave(1)
