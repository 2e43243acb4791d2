"""Objects of an HDF5 file: headers, groups, and what is said of arrays.

"HDF5 File Format Specification 3.0", sections II to IV: superblocks 0 to 3, object headers 1 and 2, groups as symbol
tables and as links, and the messages that describe an array. Nothing is followed twice: no file leads in circles.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn.errors import DataError
from minicnn.saving.hdf5_dense import dense_links
from minicnn.saving.hdf5_source import MAX_LINKS, NOWHERE, Link, Source, decode, parse_link

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_MESSAGES = 1_000
MAX_NAMES_NBYTES = 4 << 20

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT, FILTERS = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B
CONTINUATION, SYMBOL_TABLE = 0x10, 0x11
SHARED = 0x02

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)
FLETCHER32 = 3
SINGLE_CHUNK, FILTERED_CHUNK = 1, 2
CLASSES = ("integers", "floats", "times", "text", "bits", "opaque data", "records", "references", "an enumeration",
           "objects of any length", "arrays")  # fmt: skip


def _float(nbytes: int, exponent: int, mantissa: int) -> bytes:
    """How HDF5 describes IEEE 754's little-endian floats (IV.A.2.d)."""
    bits = bytes(
        [0x20, 8 * nbytes - 1, 0, nbytes, 0, 0, 0, 0, 0, 8 * nbytes, 0, mantissa, exponent, 0, mantissa]
    )
    return b"\x01" + bits + (2 ** (exponent - 1) - 1).to_bytes(4, "little")


def _integer(nbytes: int, signed: bool) -> bytes:
    return bytes([0, 8 * signed, 0, 0, nbytes, 0, 0, 0, 0, 0, 8 * nbytes, 0])


DTYPES = {
    **{_float(n, e, m): np.dtype(f"<f{n}") for n, e, m in ((2, 5, 10), (4, 8, 23), (8, 11, 52))},
    **{_integer(n, s): np.dtype(f"<{'i' if s else 'u'}{n}") for n in (1, 2, 4, 8) for s in (True, False)},
}


class Message(NamedTuple):
    """A part of an object's header."""

    kind: int
    flags: int
    body: Source


class Array(NamedTuple):
    """What a file says of an array; nothing of it is copied yet."""

    shape: tuple[int, ...]
    dtype: np.dtype | str
    """Or, in words, what else it holds."""
    data: memoryview | None
    """Its bytes, None if they aren't in the file in one piece as they are; a checksum may follow."""


def open_root(content: memoryview) -> tuple[Source, int]:
    """(the file without its user block, address of the root group)."""
    start = next((start for start in (0, 512) if content[start : start + 8] == SIGNATURE), None)
    if start is None:
        raise DataError("it is not an HDF5 file.")
    source = Source(content[start:])
    (version,) = source.unpack("<B", 8)
    if version in (0, 1):
        sizes = source.unpack("<2B", 13)
        base, _, _, _, _, root = source.unpack("<6Q", 24 + 4 * version)
    elif version in (2, 3):
        sizes = source.unpack("<2B", 9)
        base, _, _, root = source.unpack("<4Q", 12)
    else:
        raise DataError(f"it is not an HDF5 file of a known version. Received version {version}.")
    if sizes != (8, 8) or base != start:
        raise DataError("it is not an HDF5 file with addresses of 8 bytes from its own beginning.")
    return source, root


def read_header(source: Source, address: int) -> list[Message]:
    """The messages of the object at `address`."""
    new = source.take(address, 4) == b"OHDR"
    if new:
        version, flags = source.unpack("<2B", address + 4)
        position = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        (nbytes,) = source.unpack("<" + "BHIQ"[flags & 3], position)
        position += 1 << (flags & 3)
    else:
        version, flags, position = source.take(address, 1)[0], 0, address + 16
        (nbytes,) = source.unpack("<I", address + 8)
    if version != 1 + new:
        raise DataError(f"it is not a whole HDF5 file: no object where one must be, at {address}.")
    messages: list[Message] = []
    blocks, seen = [(position, nbytes)], {position}
    while blocks:
        for message in _read_block(source, *blocks.pop(), new, ordered=bool(flags & 4)):
            messages.append(message)
            if len(messages) > MAX_MESSAGES:
                raise DataError(f"it has an object with more than {MAX_MESSAGES} attributes.")
            if message.kind != CONTINUATION:
                continue
            position, nbytes = message.body.unpack("<2Q", 0)
            if new:  # a signature before, a checksum behind
                position, nbytes = source.expect(b"OCHK", position), nbytes - 8
            if position in seen:
                raise DataError("it is not a whole HDF5 file: a header that continues in itself.")
            seen.add(position)
            blocks.append((position, nbytes))
    return messages


def _read_block(source: Source, position: int, nbytes: int, new: bool, ordered: bool) -> Iterator[Message]:
    head = 4 + 2 * ordered if new else 8
    end = position + nbytes
    while position + head <= end:
        kind, size, flags = source.unpack("<BHB" if new else "<HHB", position)
        position += head
        if position + size > end:
            raise DataError("it is not a whole HDF5 file: a header that is longer than it says.")
        yield Message(kind, flags, Source(memoryview(source.take(position, size))))
        position += size


def is_group(messages: list[Message]) -> bool:
    return any(message.kind in (SYMBOL_TABLE, LINK_INFO) for message in messages)


def read_links(source: Source, messages: list[Message]) -> dict[str, Link]:
    """What a group holds, by name."""
    links: dict[str, Link] = {}
    for message in messages:
        if message.kind == SYMBOL_TABLE:
            found = _symbols(source, *message.body.unpack("<2Q", 0))
        elif message.kind == LINK:
            found = iter([parse_link(message.body)])
        elif message.kind == LINK_INFO:
            found = dense_links(source, message.body)
        else:
            continue
        for name, link in found:
            if name in links or len(links) >= MAX_LINKS:
                raise DataError(f"it has a group with a name twice, or with more than {MAX_LINKS}.")
            links[name] = link
    return links


def _symbols(source: Source, tree: int, heap: int) -> Iterator[tuple[str, Link]]:
    """The links of a group whose names are in a local heap, found by a B-tree of version 1 (III.A.1, III.B, III.D)."""
    names_nbytes, _, names = source.unpack("<3Q", source.expect(b"HEAP", heap) + 4)
    if names_nbytes > MAX_NAMES_NBYTES:
        raise DataError(f"it has a group with more than {MAX_NAMES_NBYTES} bytes of names.")
    text = source.take(names, names_nbytes)
    nodes: list[tuple[int, int | None]] = [(tree, None)]
    seen: set[int] = set()
    while nodes:
        address, level = nodes.pop()
        if address in seen or len(seen) > MAX_LINKS:
            raise DataError("it is not a whole HDF5 file: an index that contains itself.")
        seen.add(address)
        if level == -1:
            yield from _symbol_node(source, address, text)
            continue
        kind, here, used = source.unpack("<2BH", source.expect(b"TREE", address))
        if kind != 0 or level not in (None, here):
            raise DataError("it is not a whole HDF5 file: an index of something else.")
        nodes.extend((source.unpack("<Q", address + 32 + 16 * k)[0], here - 1) for k in range(used))


def _symbol_node(source: Source, address: int, names: bytes) -> Iterator[tuple[str, Link]]:
    _, _, count = source.unpack("<2BH", source.expect(b"SNOD", address))
    for k in range(count):
        start, header, cache = source.unpack("<2QI", address + 8 + 40 * k)
        end = names.find(b"\0", start)
        if end < 0:
            raise DataError("it is not a whole HDF5 file: a name that doesn't end.")
        yield decode(names[start:end]), Link("soft" if cache == 2 else "hard", header)


def read_array(source: Source, messages: list[Message]) -> Array:
    """What the messages of an array's header say (IV.A.2.b, d, h, i and l)."""
    parts = {message.kind: message for message in messages}
    if not {DATASPACE, DATATYPE, LAYOUT} <= set(parts):
        raise DataError("it is not a whole HDF5 file: an array without a shape, a type or a place.")
    shape, dtype = _shape(parts[DATASPACE].body), _dtype(parts[DATATYPE])
    filters = _filters(parts[FILTERS].body) if FILTERS in parts else []
    if EXTERNAL in parts or filters not in ([], [FLETCHER32]):
        return Array(shape, dtype, None)
    return Array(shape, dtype, _data(source, parts[LAYOUT].body, shape, bool(filters)))


def _data(source: Source, layout: Source, shape: tuple[int, ...], filtered: bool) -> memoryview | None:
    """The bytes of an array in one piece, with a checksum behind them if it is filtered."""
    version, kind = layout.unpack("<2B", 0)
    if version not in (3, 4):
        return None
    if kind == COMPACT and not filtered:
        (nbytes,) = layout.unpack("<H", 2)
        return layout.view(4, nbytes)
    if kind == CONTIGUOUS and not filtered:
        address, nbytes = layout.unpack("<2Q", 2)
    elif kind == CHUNKED and filtered:
        address, nbytes, chunk = (_chunk_of_tree if version == 3 else _only_chunk)(source, layout, len(shape))
        if chunk != shape:
            return None
    else:
        return None
    return None if address == NOWHERE else source.view(address, nbytes)


def _chunk_of_tree(source: Source, layout: Source, rank: int) -> tuple[int, int, tuple[int, ...]]:
    """(address, bytes, shape) of the one chunk in a B-tree of version 1."""
    sides, tree = layout.unpack("<BQ", 2)
    if tree == NOWHERE or sides != rank + 1:
        return NOWHERE, 0, ()
    kind, level, used = source.unpack("<2BH", source.expect(b"TREE", tree))
    nbytes, skipped = source.unpack("<2I", tree + 24)
    (address,) = source.unpack("<Q", tree + 32 + 8 * sides)
    whole = (kind, level, used, skipped) == (1, 0, 1, 0)
    return address if whole else NOWHERE, nbytes, layout.unpack(f"<{rank}I", 11)


def _only_chunk(source: Source, layout: Source, rank: int) -> tuple[int, int, tuple[int, ...]]:
    """(address, bytes, shape) of the one chunk that the layout itself points at."""
    flags, sides, width = layout.unpack("<3B", 2)
    position = 5 + width * sides
    if sides != rank + 1 or not flags & FILTERED_CHUNK or layout.unpack("<B", position) != (SINGLE_CHUNK,):
        return NOWHERE, 0, ()
    nbytes, skipped, address = layout.unpack("<QIQ", position + 1)
    chunk = tuple(int.from_bytes(layout.take(5 + width * k, width), "little") for k in range(rank))
    return address if not skipped else NOWHERE, nbytes, chunk


def _shape(body: Source) -> tuple[int, ...]:
    version, rank, _, kind = body.unpack("<4B", 0)
    if version not in (1, 2) or rank > 32 or (version == 2 and kind > 1):
        raise DataError("it has an array without a shape.")
    return body.unpack(f"<{rank}Q", 8 if version == 1 else 4)


def _dtype(message: Message) -> np.dtype | str:
    body = message.body.content
    if message.flags & SHARED or not body:
        return "a named type"
    kind = body[0] & 15
    key = bytes([kind]) + bytes(body[1 : 20 if kind == 1 else 12])
    return DTYPES.get(key, CLASSES[kind] if kind < len(CLASSES) else "unknown")


def _filters(body: Source) -> list[int]:
    """The identifier of the filter; more than one are refused whatever they are."""
    version, count = body.unpack("<2B", 0)
    if count != 1:
        return [0] * count
    return list(body.unpack("<H", 8 if version == 1 else 2))
