"""`report.html` of an audit: one file that needs no other, and no network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixrayd.audit.settings import FlawCount
from sixrayd.audit.thumbnails import Thumbnails
from sixrayd.core.findings import LIKELY_MISSED
from sixrayd.core.resources import page_of

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


@dataclass(frozen=True, slots=True)
class Card:
    """A finding with its picture, and the picture of its twin."""

    title: str
    text: str
    picture: str  # address that holds it; empty without
    twin: str
    twin_title: str


@dataclass(frozen=True, slots=True)
class FlawSection:
    """All of a kind that the page shows."""

    anchor: str
    kind: FlawCount
    cards: tuple[Card, ...]
    advice: str


def audit_page(
    facts: Sequence[tuple[str, str]],
    kinds: Sequence[FlawCount],
    rules: Sequence[str],
    thumbnails: Thumbnails,
    push: str,
) -> str:
    """The page.

    Args:
        facts: terms and words of its head.
        push: the command that sends duplicates of positives to reviewers.
    """
    sections = list(_sections(kinds, thumbnails, push))
    return page_of(_TEMPLATE, facts=facts, sections=sections, rules=rules)


def _sections(
    kinds: Sequence[FlawCount], thumbnails: Thumbnails, push: str
) -> Iterator[FlawSection]:
    for kind in kinds:
        cards = tuple(
            Card(
                title=found["image_id"] or found["where"],
                text=": ".join(filter(None, (found["where"], found["text"]))),
                picture=thumbnails.source(found["image_id"], found["box_id"]),
                twin=thumbnails.source(found["other_id"]),
                twin_title=found["other_id"],
            )
            for found in kind.examples
        )
        advice = push if kind.flaw in LIKELY_MISSED else ""
        yield FlawSection(kind.flaw.replace(" ", "-").replace("'", ""), kind, cards, advice)
