"""What is wrong with a release: the first fault stops, or all are kept and listed."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.errors import ReleaseError, printable, without_advice
from sixrayd.core.files import replacing, shown
from sixrayd.core.findings import Flaw, bounded
from sixrayd.download.settings import OnError

_LONGEST, _MOST_SUFFIXES = 32, 1000  # signs of a suffix, and suffixes, that are told apart


@dataclass(frozen=True, slots=True)
class Faults:
    """Collects faults under "skip"; under "stop" the first is raised."""

    on_error: OnError = "stop"
    found: list[tuple[str, str]] = field(default_factory=list)  # where, what
    flaws: dict[tuple[str, str], Flaw] = field(default_factory=dict)  # of those of a known kind
    passed_over: Counter[str] = field(default_factory=Counter)  # files that are nothing, by suffix

    def add(self, where: str, what: str, flaw: Flaw | None = None) -> None:
        """Take note of one fault.

        Args:
            flaw: its kind, where the catalogue has one.

        Raises:
            ReleaseError: faults are to stop the ingest.
        """
        what = without_advice(what)
        if self.on_error == "stop":
            place = printable(shown(where), 300)
            raise ReleaseError(f"{place}: {what}; mend it or pass --on-error skip")
        self.found.append(bounded(shown(where), what))
        if flaw is not None:
            self.flaws[self.found[-1]] = flaw

    def pass_over(self, suffix: str) -> None:
        """Count a file that is nothing, by its suffix; by none where a stranger's have no end."""
        known = suffix or "no suffix"
        if len(known) > _LONGEST or len(self.passed_over) >= _MOST_SUFFIXES:
            known = known if known in self.passed_over else "other suffixes"
        self.passed_over[known] += 1

    def write(self, path: Path) -> None:
        """Write a JSON line a fault; no file when there is none."""
        if self.found:
            lines = (json.dumps(self._said(*fault), ensure_ascii=False) for fault in self.found)
            with replacing(path) as beside, beside.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

    def _said(self, where: str, what: str) -> dict[str, str]:
        flaw = self.flaws.get((where, what))
        return {"where": where, "error": what} | ({"flaw": str(flaw)} if flaw else {})
