"""Reading Qt's binary resource files (.rcc), which are small read-only file systems.

All numbers are big-endian. Header: "qres", version, then the offsets of the tree, the data and the
names. A tree entry: name offset u32, flags u16, then for a folder (child count u32, first child
u32), for a file (locale 2 x u16, data offset u32); from version 2 a time stamp u64 follows. The
layout is that of Qt's own `rcc` (qtbase/src/tools/rcc/rcc.cpp).
"""

import struct
import zlib

COMPRESSED, FOLDER = 1, 2


def files(path):
    """Yield `(path inside, bytes)` of every file in the .rcc file at `path`."""
    content = path.read_bytes()
    if content[:4] != b"qres":
        raise ValueError(f"{path}: not a Qt resource file")
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    entry_size = 14 if version == 1 else 22

    def name_at(offset):
        (length,) = struct.unpack_from(">H", content, names + offset)
        start = names + offset + 6  # past the length and the name's hash
        return content[start : start + 2 * length].decode("utf-16-be")

    def payload(offset, flags):
        (size,) = struct.unpack_from(">I", content, data + offset)
        body = content[data + offset + 4 : data + offset + 4 + size]
        if flags & COMPRESSED:
            return zlib.decompress(body[4:])  # the first four bytes are the unpacked size
        if flags & ~FOLDER:
            raise ValueError(f"{path}: an entry has unknown flags {flags:#x}")
        return body

    def walk(index, parent):
        entry = tree + index * entry_size
        name_offset, flags = struct.unpack_from(">IH", content, entry)
        inside = f"{parent}/{name_at(name_offset)}" if index else ""
        if flags & FOLDER:
            count, first = struct.unpack_from(">II", content, entry + 6)
            for child in range(first, first + count):
                yield from walk(child, inside)
        else:
            (offset,) = struct.unpack_from(">I", content, entry + 10)
            yield inside.lstrip("/"), payload(offset, flags)

    yield from walk(0, "")
