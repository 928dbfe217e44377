"""`sixrayd demo`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixrayd.core.children import end_as_by_ctrl_c
from sixrayd.core.command import json_option, options_of, print_json
from sixrayd.core.printing import Terminal, console
from sixrayd.demo.settings import DemoSettings

if TYPE_CHECKING:
    from sixrayd.demo.stage import DemoResult


option = options_of(DemoSettings)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"))
@option("--images", help="Images in the release.")
@option("--seed", help="Seed of the release and of all that is drawn.")
@option("--epochs", help="Epochs of training.  [default: 10, or 20 from random weights]")
@option("--budget", help="Images reviewed for each hidden one.")
@option("--error-rate", help="Share of its answers in which the simulated reviewer errs, 0 to 1.")
@option("--browse/--no-browse", help="Open FiftyOne.")
@click.option("--keep-open", is_flag=True, help="Leave Label Studio and FiftyOne running.")
@json_option
def demo(folder: Path, keep_open: bool, as_json: bool, **options: Any) -> None:
    """Run the whole pipeline on a synthetic release, with a simulated reviewer.

    FOLDER (default: demo) gets the release and the workspace; run again, the demo goes on
    where it was.

    \b
    Example:
      sixrayd demo --images 300 --keep-open
    """
    from sixrayd.demo.stage import demo as run_demo

    end_as_by_ctrl_c()
    result = run_demo(folder, DemoSettings(**options), _wait if keep_open else None)
    if as_json:
        print_json(result)
    else:
        _print_table(result)


def _wait(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        console.print(f"{name}: {address}", soft_wrap=True)
    console.print("Ctrl-C ends both.")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("ending")


def _print_table(result: "DemoResult") -> None:
    from rich.table import Table

    table = Table(title="The demo, in numbers", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    rows = {
        "images in the release": result.images,
        "negatives that hide contraband": result.hidden,
        "negatives the detector flagged": result.candidates,
        "candidates reviewed": result.reviewed,
        "spot checks": result.spot_checks,
        "planted threats and shams": result.planted,
        "hidden images found": result.found,
        "still hidden, at most (95 %)": result.left_at_most,
        "truly still hidden": result.hidden - result.found,
        "recall (found / hidden)": f"{result.recall:.1%}",
        "precision (found / reviewed)": f"{result.precision:.1%}",
        "exported images": result.exported_images,
        "exported objects": result.exported_objects,
        "validation mAP": f"{result.validation_map:.3f}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    for name, seconds in result.seconds.items():
        table.add_row(f"seconds: {name}", f"{seconds:.0f}")
    out = Terminal()
    out.print(table)
    for name, place in result.look_at.items():
        out.print(f"{name}: {place}", soft_wrap=True)
