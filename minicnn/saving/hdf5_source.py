"""Bytes and links of an HDF5 file, every one of them checked against the size of the file.

HDF5's own library crashes on damaged files, and a crash is what attacks are made of; so the few structures that Keras's
files have are read in Python. The format is the HDF Group's "HDF5 File Format Specification 3.0".
"""

import struct
from typing import NamedTuple

from minicnn.errors import DataError

NOWHERE = (1 << 64) - 1
"""The address of what isn't there."""
MAX_LINKS = 20_000
"""In a group: two for each layer of the largest model."""
LINK_KINDS = {0: "hard", 1: "soft", 64: "external"}


class Source:
    """The bytes of a file, or of a part of one."""

    def __init__(self, content: memoryview) -> None:
        self.content = content

    def view(self, position: int, nbytes: int) -> memoryview:
        """`nbytes` bytes from `position` on, not copied."""
        if position + nbytes > len(self.content):
            raise DataError("it is not a whole HDF5 file: something lies beyond its end.")
        return self.content[position : position + nbytes]

    def take(self, position: int, nbytes: int) -> bytes:
        return bytes(self.view(position, nbytes))

    def unpack(self, format: str, position: int) -> tuple:
        return struct.unpack(format, self.take(position, struct.calcsize(format)))

    def expect(self, signature: bytes, position: int) -> int:
        """The position behind `signature`, which must be there."""
        if self.take(position, len(signature)) != signature:
            raise DataError(f"it is not a whole HDF5 file: no {signature.decode()} where one must be.")
        return position + len(signature)


class Link(NamedTuple):
    """What a group has under a name."""

    kind: str
    address: int
    """Of the object's header, for a hard link."""


def parse_link(message: Source) -> tuple[str, Link]:
    """(name, link) of a link message (IV.A.2.g)."""
    version, flags = message.unpack("<2B", 0)
    position, kind = 2, 0
    if flags & 8:
        (kind,) = message.unpack("<B", position)
        position += 1
    position += 8 * bool(flags & 4) + bool(flags & 16)  # creation order, character set
    (length,) = message.unpack("<" + "BHIQ"[flags & 3], position)
    position += 1 << (flags & 3)
    name = decode(message.take(position, length))
    if version != 1 or kind not in LINK_KINDS:
        raise DataError("it is not a whole HDF5 file: a link of an unknown kind.")
    address = message.unpack("<Q", position + length)[0] if kind == 0 else NOWHERE
    return name, Link(LINK_KINDS[kind], address)


def decode(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise DataError("it has names that aren't UTF-8.") from None
