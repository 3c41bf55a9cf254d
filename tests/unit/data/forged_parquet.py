"""Parquet files that no honest writer makes: footers and pages put together by hand in Thrift's compact protocol.

A table has two required columns, `at` (timestamp) and `id` (a string by dictionary), in one row group.
"""

import struct
from collections.abc import Sequence

I32, I64, TEXT, LIST, STRUCT = 5, 6, 8, 9, 12
INT64, BYTES = 2, 6
UTF8, MICROS = 0, 10
PLAIN, RLE, DICTIONARY = 0, 3, 8
DATA_PAGE, DICTIONARY_PAGE = 0, 2
AT = 1_356_998_400_000_000
Field = tuple[int, int, int | bytes | None]


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def record(*fields: Field) -> bytes:
    """Return a struct; a field without a value is left out."""
    out, before = b"", 0
    for number, kind, value in fields:
        if value is None:
            continue
        out += bytes([number - before << 4 | kind])
        before = number
        if isinstance(value, int):
            out += zigzag(value)
        else:
            out += varint(len(value)) + value if kind == TEXT else value
    return out + b"\0"


def listed(kind: int, items: Sequence[bytes]) -> bytes:
    count = len(items)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)
    return head + b"".join(items)


def element(name: str, kind: int | None = None, *, repeats: int = 0, children: int | None = None,
            converted: int | None = None) -> bytes:  # fmt: skip
    return record((1, I32, kind), (3, I32, repeats), (4, TEXT, name.encode()), (5, I32, children), (6, I32, converted))


SCHEMA = (element("at", INT64, converted=MICROS), element("id", BYTES, converted=UTF8))


def file(body: bytes, columns: Sequence[bytes], rows: int, groups: Sequence[bytes], *, top: int = 2) -> bytes:
    """Return a file around its pages. top: how many of the columns are not inside another."""
    schema = listed(STRUCT, [element("schema", children=top), *columns])
    foot = record((1, I32, 1), (2, LIST, schema), (3, I64, rows), (4, LIST, listed(STRUCT, groups)))
    return b"PAR1" + body + foot + struct.pack("<I", len(foot)) + b"PAR1"


def group(chunks: Sequence[bytes], rows: int) -> bytes:
    return record((1, LIST, listed(STRUCT, chunks)), (2, I64, 100), (3, I64, rows))


def chunk(name: str, kind: int, values: int, size: int, at: int, dictionary_at: int | None = None) -> bytes:
    encodings = listed(I32, [zigzag(PLAIN), zigzag(DICTIONARY)])
    path = listed(TEXT, [varint(len(name)) + name.encode()])
    meta = record(
        (1, I32, kind), (2, LIST, encodings), (3, LIST, path), (4, I32, 0), (5, I64, values), (6, I64, size),
        (7, I64, size), (9, I64, at), (11, I64, dictionary_at),
    )  # fmt: skip
    return record((2, I64, at), (3, STRUCT, meta))


def page(kind: int, data: bytes, values: int, encoding: int, size: int | None = None) -> bytes:
    """Return a page. size: what its header claims."""
    claimed = len(data) if size is None else size
    head: list[Field] = [(1, I32, kind), (2, I32, claimed), (3, I32, claimed)]
    if kind == DATA_PAGE:
        told = record((1, I32, values), (2, I32, encoding), (3, I32, RLE), (4, I32, RLE))
        return record(*head, (5, STRUCT, told)) + data
    return record(*head, (7, STRUCT, record((1, I32, values), (2, I32, encoding)))) + data


def table(
    *, index: int = 0, page_size: int | None = None, text_size: int = 1, entries: int = 1,
    chunk_size: int | None = None, rows: int = 1,
) -> bytes:  # fmt: skip
    """Return a table of `rows` equal ids.

    index: into the dictionary. page_size, text_size, entries, chunk_size: what headers claim of the id's page, its
    text, its dictionary and its chunk.
    """
    moments = page(DATA_PAGE, struct.pack("<q", AT), 1, PLAIN)
    dictionary = page(DICTIONARY_PAGE, struct.pack("<i", text_size) + b"a", entries, PLAIN)
    ids = page(DATA_PAGE, b"\x08" + varint(rows << 1) + bytes([index]), rows, DICTIONARY, page_size)
    start = 4 + len(moments)
    size = len(dictionary) + len(ids) if chunk_size is None else chunk_size
    chunks = [
        chunk("at", INT64, 1, len(moments), 4),
        chunk("id", BYTES, rows, size, start + len(dictionary), start),
    ]
    return file(moments + dictionary + ids, SCHEMA, rows, [group(chunks, rows)])


def nested(depth: int) -> bytes:
    """Return an empty table with one more column, a struct in a struct `depth` times."""
    inside = [element(f"n{level}", repeats=1, children=1) for level in range(depth)]
    return file(b"", [*SCHEMA, *inside, element("leaf", INT64, repeats=1)], 0, [], top=3)


def row_groups(count: int) -> bytes:
    """Return an empty table of `count` empty row groups."""
    chunks = [chunk("at", INT64, 0, 0, 4), chunk("id", BYTES, 0, 0, 4)]
    return file(b"", SCHEMA, 0, [group(chunks, 0)] * count)
