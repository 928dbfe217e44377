"""One tree of errors. A message says where, what was found, what was expected, what to do."""

import re

MOST_PRINTED = 2000  # signs of a line
ADVICE = r"; [^;]*pass --on-error skip$"  # at the end of a message


class SixraydError(Exception):
    """Every failure that a user can cause or mend; the command line prints it as one line."""


class SettingsError(SixraydError):
    """A setting is unknown, out of range, or contradicts another."""


class ShapeError(SixraydError):
    """An array has another shape than the function takes."""


class ReleaseError(SixraydError):
    """A release's file is missing, truncated, or not what its name says."""


class ImageError(SixraydError):
    """An image cannot be decoded, or is beyond the limits for decoding."""


class AnnotationError(SixraydError):
    """An annotation file cannot be read, or names an unknown class."""


class ShardError(SixraydError):
    """A shard is truncated or has changed since it was indexed."""


class WorkspaceError(SixraydError):
    """A stage's input is missing or stale, or another process writes here."""


class OtherWorkError(WorkspaceError):
    """A result of other inputs or settings is there, and nobody has said that it may go."""


class UnknownStateError(WorkspaceError):
    """The storage, or a limit, keeps a file from being read: it may well be whole."""


class UnfitFileError(WorkspaceError, OSError, ValueError):
    """A pipe, socket or device, which may never end, or a file beyond a limit."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class CheckpointError(SixraydError):
    """Weights do not belong to the model, or are not weights."""


class ServiceError(SixraydError):
    """Label Studio, FiftyOne or another service did not do what was asked."""


def printable(text: object, most: int = MOST_PRINTED) -> str:
    """One line of a stranger's text that no terminal takes for a command.

    Control characters, and bytes that are no UTF-8, stand as escapes. What is longer than `most`
    signs is cut, and says so.
    """
    said = str(text)
    line = "".join(s if s.isprintable() else _escape(s) for s in said[:most])
    return line if len(line) <= most and len(said) <= most else f"{line[: most - 1]}…"


def _escape(sign: str) -> str:
    byte = ord(sign) - 0xDC00  # as Python names files whose bytes are no UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(sign)[1:-1]


def without_advice(message: str) -> str:
    """A message without the advice to skip faults, for where they were skipped."""
    return re.sub(ADVICE, "", message)
