"""What a log shows of work that goes on."""

import io
import re
import threading

from sixrayd.core.printing import Terminal
from sixrayd.core.progress import ProgressLog, at_work, progress


class Clock:
    """Seconds, as a test says."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_every_half_minute_and_one_at_the_end():
    file, clock = io.StringIO(), Clock()
    with ProgressLog(Terminal(file=file, width=40), clock=clock) as bars:
        task = bars.add_task("training rfb-small", total=2000, completed=100, note="")
        for _ in range(100):
            clock.now += 1
            bars.advance(task, 10)
            bars.update(task, note=f"epoch {int(clock.now)}, loss 1.20")
        bars.update(task, completed=2000)
        bars.update(task, note="told already")
    assert file.getvalue().splitlines() == [
        "training rfb-small 400 of 2,000, 1,600 left, 10 a second, epoch 29, loss 1.20",
        "training rfb-small 700 of 2,000, 1,300 left, 10 a second, epoch 59, loss 1.20",
        "training rfb-small 1,000 of 2,000, 1,000 left, 10 a second, epoch 89, loss 1.20",
        "training rfb-small 2,000 of 2,000, 0 left, 19 a second, epoch 100, loss 1.20",
    ]


def test_work_of_unknown_length_is_told_too():
    file, clock = io.StringIO(), Clock()
    with ProgressLog(Terminal(file=file), clock=clock) as bars:
        task = bars.add_task("reading", total=None, note="")
        clock.now = 29.9
        bars.update(task, completed=5)
        clock.now = 31
        bars.update(task, completed=62)
    assert file.getvalue() == "reading 62 done, 2 a second\n"


def test_work_without_steps_is_told_to_go_on(monkeypatch):
    told, written = threading.Event(), io.StringIO()

    class File(io.StringIO):
        def write(self, text):
            written.write(text)
            if "at work" in text:
                told.set()
            return len(text)

    monkeypatch.setattr("sixrayd.core.progress.FIRST_S", 0.0)
    for terminal in (False, True):
        told.clear()
        bars = progress(to=Terminal(file=File(), force_terminal=terminal))
        with bars, at_work(bars, "sixrayd plan", look_s=0.001):
            assert told.wait(60)
    lines = re.findall("sixrayd plan: at work for [0-9]+ s\n", written.getvalue())
    assert len(lines) == 2


def test_outside_words_forge_no_line():
    file = io.StringIO()
    with ProgressLog(Terminal(file=file)) as bars:
        bars.update(bars.add_task("a\nb", total=1, note="[bold]\x1b[2J"), completed=1)
    assert "\x1b" not in file.getvalue() and file.getvalue().count("\n") == 1


def test_a_terminal_has_a_bar():
    terminal = Terminal(file=io.StringIO(), force_terminal=True)
    assert not isinstance(progress(to=terminal), ProgressLog)
    assert isinstance(progress(to=Terminal(file=io.StringIO())), ProgressLog)
