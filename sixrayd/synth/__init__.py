"""A synthetic release in SIXray's own format, with the truth beside it."""

from pathlib import Path

from sixrayd.synth.settings import SynthResult, SynthSettings

__all__ = ["SynthResult", "SynthSettings", "synthesize"]


def synthesize(
    out: Path, settings: SynthSettings, *, force: bool = False, show_progress: bool = False
) -> SynthResult:
    """Write a release to `out` and its truth to the sibling `out`-truth, whole or not at all.

    Raises:
        ReleaseError: `out` or its truth exists and `force` is not given.
    """
    # The renderer needs OpenCV; `--help` must not pay for it.
    from sixrayd.synth.release import write_release

    return write_release(out, settings, force=force, show_progress=show_progress)
