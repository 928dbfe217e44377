"""Parts of a measurement that go wrong, each in its way."""

import os
import time

from benchmarks.gpu.running import SkippedError


def fine(part):
    part.row(speed="fast", images_per_s=1234.5)
    part.note("all is well")


def raises(part):
    part.row(speed="slow", images_per_s=0.25)
    raise ValueError("first line\nthe last | line")


def hangs(part):
    part.trim("the rest")
    part.row(speed="none", images_per_s=0)
    time.sleep(600)


def dies(part):
    os.abort()


def skips(part):
    raise SkippedError("no GPU here")
