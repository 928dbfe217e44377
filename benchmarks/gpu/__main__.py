"""Measure on this machine's GPU all that is known only by running it, in under eight minutes.

Example:
    python -m benchmarks.gpu --out gpu
    python -m benchmarks.gpu --images SCANS --only mining --only decoding
    python -m benchmarks.gpu --tiny

Writes OUT.json and OUT.md before the first part and after each: whatever ends it, what was measured
stays. Each part runs in a process of its own, which is killed at its limit.
"""

import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import torch

from benchmarks.gpu.inputs import write_inputs
from benchmarks.gpu.plan import ALL_S, FULL, PARTS, PATIENCE, TINY, Setting
from benchmarks.gpu.running import run_parts
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.devices import pick_device


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="gpu", show_default=True)
@click.option("--tiny", is_flag=True, help="Small detectors and few images, a minute or two.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of JPEGs to mine.",
)
@click.option("--only", multiple=True, type=click.Choice([part.name for part in PARTS]))
@click.option(
    "--limit",
    type=click.FloatRange(10, 1e5),
    default=ALL_S,
    show_default=True,
    help="Seconds on a GPU; on a CPU four times as many.",
)
def main(
    out: Path, tiny: bool, device: str, images: Path | None, only: tuple[str, ...], limit: float
) -> None:
    """Measure every part and write the report; exit code 3 where one failed."""
    start = time.monotonic()
    try:
        device = pick_device(device).type
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if images and not any(p.suffix.lower() in (".jpg", ".jpeg") for p in images.iterdir()):
        raise click.UsageError(f"--images {images}: holds no .jpg")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        raise click.UsageError(f"--out {out}: {out.parent} cannot be written to")
    name = torch.cuda.get_device_name() if device == "cuda" else f"a CPU ({platform.machine()})"
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), device, tiny)
        write_inputs(setting.folder / "workspace", TINY if tiny else FULL, images)
        made_s = time.monotonic() - start
        how = (
            f"`python -m benchmarks.gpu {' '.join(sys.argv[1:])}`, torch {torch.__version__}, "
            f"{'scans of a folder' if images else 'drawn scans'}, made in {made_s:.0f} s."
        )
        about = {"format": 1, "device_name": name, "device": device, "tiny": tiny, "how": how}
        times = PATIENCE if device == "cpu" else 1
        parts = [
            replace(part, limit_s=part.limit_s * times)
            for part in PARTS
            if not only or part.name in only
        ]
        document = run_parts(parts, setting, out, limit * times - made_s, about)
    for part in document["parts"]:
        click.echo(f"{part['name']}: {part['status']} {part.get('error', '')}", err=True)
    click.echo(f"{out}.md")
    if any(part["status"] == "failed" for part in document["parts"]):
        raise click.exceptions.Exit(3)


if __name__ == "__main__":
    main()
