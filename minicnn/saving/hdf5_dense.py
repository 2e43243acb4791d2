"""Large groups of HDF5's newer layout: links in a fractal heap, found by a B-tree of version 2.

"HDF5 File Format Specification 3.0", III.A.2 and III.G. A group has one as soon as it has more than 8 links, always of
the form whose sizes are here.
"""

from collections.abc import Iterator

from minicnn.errors import DataError
from minicnn.saving.hdf5_source import MAX_LINKS, NOWHERE, Link, Source, parse_link

HEAP_FORM = (7, 0, 4, 512, 65536, 32)
"""Bytes of an identifier and of filters, blocks in a row, of the smallest and largest block, bits of an offset."""
TREE_FORM = (5, 512, 11)
"""Records are hashes and identifiers of links; bytes of a node and of a record."""
MANAGED = 0
"""The kind of an identifier: an offset of 4 bytes and a length of 2."""


def dense_links(source: Source, info: Source) -> Iterator[tuple[str, Link]]:
    """The links that a link info message points at; none if they are messages of the header themselves."""
    _, flags = info.unpack("<2B", 0)
    heap, tree = info.unpack("<2Q", 2 + 8 * (flags & 1))
    if heap == NOWHERE:
        return
    blocks = list(heap_blocks(source, heap))
    for record in tree_records(source, tree):
        kind, start, length = Source(memoryview(record)).unpack("<BIH", 4)
        inside = (
            address + start - offset
            for offset, nbytes, address in blocks
            if offset <= start <= start + length <= offset + nbytes
        )
        address = next(inside, None)
        if kind != MANAGED or address is None:
            raise DataError("it is not a whole HDF5 file: a link that isn't in its group's heap.")
        yield parse_link(Source(memoryview(source.take(address, length))))


def heap_blocks(source: Source, address: int) -> Iterator[tuple[int, int, int]]:
    """(offset in the heap, bytes, address) of each block with links, of the heap whose header is at `address`."""
    position = source.expect(b"FRHP", address)
    _, identifier, filters = source.unpack("<B2H", position)
    width, first, largest, bits, _, root, rows = source.unpack("<H2Q2HQH", position + 106)
    if (identifier, filters, width, first, largest, bits) != HEAP_FORM:
        raise DataError("it has a group in a heap of another form than HDF5's own.")
    if rows == 0:
        yield 0, first, root
        return
    position = source.expect(b"FHIB", root) + 13
    start, nbytes = 0, first
    for row in range(rows):
        nbytes = first << max(row - 1, 0)  # the first two rows have blocks of the same size
        if nbytes > largest:
            raise DataError(f"it has a group with more than {MAX_LINKS} links.")
        for _ in range(width):
            (child,) = source.unpack("<Q", position)
            if child != NOWHERE:
                yield start, nbytes, child
            position, start = position + 8, start + nbytes


def tree_records(source: Source, address: int) -> Iterator[bytes]:
    """The records of the B-tree whose header is at `address`."""
    position = source.expect(b"BTHD", address)
    _, kind, node_nbytes, record_nbytes, depth, _, root, count = source.unpack("<BBIHHHQH", position)
    if (kind, node_nbytes, record_nbytes) != TREE_FORM or depth > 3:
        raise DataError("it has a group in an index of another form than HDF5's own.")
    capacity = (node_nbytes - 10) // record_nbytes
    total_nbytes = [0]  # of a pointer's count of the records below, by the level that it points to
    for _ in range(depth):
        pointer_nbytes = 9 + total_nbytes[-1]
        own = (node_nbytes - 10 - pointer_nbytes) // (record_nbytes + pointer_nbytes)
        capacity = own + (own + 1) * capacity
        total_nbytes.append(-(-capacity.bit_length() // 8))
    nodes, taken = [(root, count, depth)], 0
    while nodes:
        node, count, level = nodes.pop()
        taken += max(count, 1)
        if taken > MAX_LINKS:
            raise DataError(f"it has a group with more than {MAX_LINKS} links.")
        position = source.expect(b"BTIN" if level else b"BTLF", node) + 2
        for k in range(count):
            yield source.take(position + record_nbytes * k, record_nbytes)
        if level:
            pointers = position + record_nbytes * count
            for k in range(count + 1):
                child, number = source.unpack("<QB", pointers + (9 + total_nbytes[level - 1]) * k)
                nodes.append((child, number, level - 1))
