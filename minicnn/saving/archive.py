"""Zip archives with stored members, read strictly: what Keras writes as `.keras`, and nothing else that zip allows.

The format is PKWARE's APPNOTE 6.3: members, each behind a local header, then a central directory, then its end record.
Everything is said twice there, and programs that believe different copies read different files. So both copies must
agree, and the members must fill the file without gap or overlap. Compressed members are refused: Keras compresses
nothing, weights hardly shrink, and without them an archive can't hold more than its own size.
"""

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import DataError

REQUIRED = ("config.json", "metadata.json", "model.weights.h5")
OPTIONAL = ("minicnn.json",)
MAX_NBYTES = (4 << 30) - 1
"""Beyond, zip needs its 64-bit fields."""

END, ENTRY, LOCAL = struct.Struct("<4s4H2IH"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
END_SIGNATURE, ENTRY_SIGNATURE, LOCAL_SIGNATURE = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
ENCRYPTED, UTF8 = 0x0001, 0x0800
UNIX = 3
"""The system that `made_by` names, whose file types are in the attributes."""


class Entry(NamedTuple):
    """A member as the central directory has it."""

    name: str
    made_by: int
    flags: int
    method: int
    crc: int
    stored_nbytes: int
    nbytes: int
    attributes: int
    start: int
    """Of the local header, bytes from the beginning of the file."""


def read_archive(
    path: str | os.PathLike[str],
    required: Collection[str] = REQUIRED,
    optional: Collection[str] = OPTIONAL,
) -> dict[str, bytes]:
    """The members of the archive at `path` by name; nothing is written anywhere.

    Raises:
        DataError: not an archive of exactly these members, or a damaged one; the message names the file.
        OSError: the file can't be read at all.
    """
    try:
        return parse_archive(read_file(path), required, optional)
    except DataError as error:
        raise DataError(f"'{path}' {error}") from None


def read_file(path: str | os.PathLike[str], limit: int = MAX_NBYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes; the error's message goes behind the file's name."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would hang, a device never end
        raise DataError("must be a regular file.")
    if status.st_size > limit:
        raise DataError(f"must be at most {limit} bytes long. Received {status.st_size} bytes.")
    return Path(path).read_bytes()


def parse_archive(
    content: bytes, required: Collection[str] = REQUIRED, optional: Collection[str] = OPTIONAL
) -> dict[str, bytes]:
    """The members of an archive in memory by name.

    Raises:
        DataError: as `read_archive`; the message is to be put behind the file's name.
    """
    known = {*required, *optional}
    members: dict[str, bytes] = {}
    position = 0
    directory, count = find_directory(content)
    if count > len(known):
        raise DataError(f"must hold no more members than {sorted(known)}. Received {count} members.")
    for entry in sorted(read_directory(content, directory, count), key=lambda entry: entry.start):
        check_entry(entry, known)
        if entry.name in members:
            raise DataError(f"must hold every member once. Received {entry.name!r} twice.")
        if entry.start != position:
            raise DataError(
                f"must hold its members one behind the other, without gap or overlap. {entry.name!r} "
                f"begins at byte {entry.start}, not {position}."
            )
        start = check_local(content, entry)
        position = start + entry.nbytes
        if position > directory:
            raise DataError(f"must hold the whole of {entry.name!r}. It is cut off.")
        members[entry.name] = content[start:position]
        if zlib.crc32(members[entry.name]) != entry.crc:
            raise DataError(f"must hold {entry.name!r} as it was written. Its checksum (CRC-32) is wrong.")
    if position != directory:
        raise DataError(f"must hold nothing but its members. Received {directory - position} other bytes.")
    missing = sorted(set(required) - set(members))
    if missing:
        raise DataError(f"must hold {', '.join(missing)}. Received {sorted(members)}.")
    return members


def find_directory(content: bytes) -> tuple[int, int]:
    """(first byte of the central directory, number of its entries), from the record that ends the file."""
    start = len(content) - END.size
    if start < 0 or not content.startswith(END_SIGNATURE, start):
        raise DataError("must be a zip archive without a comment. It doesn't end as one, or is cut off.")
    _, disk, first_disk, here, count, nbytes, directory, comment = END.unpack_from(content, start)
    if disk or first_disk or here != count or comment or directory + nbytes != start:
        raise DataError("must be a zip archive in one part. Its end record doesn't fit its size.")
    return directory, count


def read_directory(content: bytes, position: int, count: int) -> Iterator[Entry]:
    """Yield the entries of the central directory, which must fill the space up to the end record."""
    end = len(content) - END.size
    for _ in range(count):
        if position + ENTRY.size > end or not content.startswith(ENTRY_SIGNATURE, position):
            raise DataError("must have a whole directory of its members. It is damaged.")
        fields = ENTRY.unpack_from(content, position)
        _, made_by, _, flags, method, _, _, crc, stored_nbytes, nbytes, name, extra, comment, *rest = fields
        name_end = position + ENTRY.size + name
        yield Entry(
            read_name(content[position + ENTRY.size : name_end], flags),
            made_by >> 8,
            flags,
            method,
            crc,
            stored_nbytes,
            nbytes,
            attributes=rest[2],
            start=rest[3],
        )
        position = name_end + extra + comment
    if position != end:
        raise DataError("must have a directory of its members and nothing else. It is damaged.")


def read_name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        raise DataError(f"must have names of members in ASCII or UTF-8. Received {raw[:80]!r}.") from None


def check_entry(entry: Entry, known: Collection[str]) -> None:
    """Refuse what isn't a plain file of a known name, stored as it is."""
    if entry.name not in known:
        raise DataError(f"must hold no other members than {sorted(known)}. Received {entry.name[:80]!r}.")
    if entry.flags & ENCRYPTED:
        raise DataError(f"must not be encrypted. Member {entry.name!r} is.")
    if entry.method != zipfile.ZIP_STORED or entry.stored_nbytes != entry.nbytes:
        raise DataError(
            f"must hold its members uncompressed, as Keras writes them. {entry.name!r} takes "
            f"{entry.stored_nbytes} bytes for {entry.nbytes}, by method {entry.method}."
        )
    if entry.flags & ~UTF8:
        raise DataError(
            f"must be written in one go, without flags. Member {entry.name!r} has {entry.flags:#06x}."
        )
    kind = stat.S_IFMT(entry.attributes >> 16)
    if entry.made_by == UNIX and kind not in (0, stat.S_IFREG):
        raise DataError(f"must hold plain files. Member {entry.name!r} is a link, a folder or a device.")


def check_local(content: bytes, entry: Entry) -> int:
    """The first byte of the member's content, after comparing its local header with the directory."""
    name = entry.start + LOCAL.size
    if name > len(content):
        raise DataError(f"must hold the whole of {entry.name!r}. It is cut off.")
    (signature, _, flags, method, _, _, crc, stored, nbytes, name_nbytes, extra) = LOCAL.unpack_from(
        content, entry.start
    )
    found = (signature, flags, method, crc, stored, nbytes, content[name : name + name_nbytes])
    declared = (
        LOCAL_SIGNATURE,
        entry.flags,
        entry.method,
        entry.crc,
        entry.stored_nbytes,
        entry.nbytes,
        entry.name.encode(),
    )
    if found != declared:
        raise DataError(f"must say the same of {entry.name!r} in its directory and before the member itself.")
    return name + name_nbytes + extra


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """An archive of `members`, in their order, stored; the same members give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            entry = zipfile.ZipInfo(name, date_time=save_time().timetuple()[:6])
            entry.create_system = UNIX
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, member)
    return content.getvalue()


def save_time() -> datetime:
    """The time that saved files carry: SOURCE_DATE_EPOCH, else 1980-01-01, where zip's calendar begins.

    Raises:
        ValueError: SOURCE_DATE_EPOCH isn't a number of seconds, or is one beyond 2107, where that calendar ends.
    """
    first, last = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not re.fullmatch("[0-9]{1,20}", epoch) or int(epoch) > last.timestamp():
        raise ValueError(
            "SOURCE_DATE_EPOCH must be the seconds since 1970, up to the year 2107. "
            f"Received SOURCE_DATE_EPOCH={epoch!r}."
        )
    return max(first, datetime.fromtimestamp(int(epoch), UTC))
