"""Rar archives of stored files, written by hand: no free program writes them."""

import struct
import zlib


def rar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A rar (version 5) of these files, and of links by name → target."""
    blocks = [_block(1, b"\0")]
    blocks += [_file(name, data) for name, data in files.items()]
    blocks += [_file(name, b"", target) for name, target in (links or {}).items()]
    return b"Rar!\x1a\x07\x01\0" + b"".join(blocks) + _block(5, b"\0")


def _file(name: str, data: bytes, target: str = "") -> bytes:
    path = name.encode()
    mode = _number(0o120777 if target else 0o100644)
    stored_by_unix = b"\0\1"
    crc = struct.pack("<I", zlib.crc32(data))
    body = b"\4" + _number(len(data)) + mode + crc + stored_by_unix + _number(len(path)) + path
    to = target.encode()
    link = b"\5\1\0" + _number(len(to)) + to if target else b""
    return _block(2, body, _number(len(link)) + link if link else b"", data)


def _block(kind: int, body: bytes, extra: bytes = b"", data: bytes = b"") -> bytes:
    flags = (1 if extra else 0) | (2 if kind == 2 else 0)
    sizes = (_number(len(extra)) if extra else b"") + (_number(len(data)) if kind == 2 else b"")
    header = _number(kind) + _number(flags) + sizes + body + extra
    header = _number(len(header)) + header
    return struct.pack("<I", zlib.crc32(header)) + header + data


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
