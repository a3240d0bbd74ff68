"""Pictures that are made to hurt whoever decodes them; all of them pass for pictures."""

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"


def png(rows: int, columns: int, *more: bytes, held: int | None = None) -> bytes:
    """A black PNG, with *more* chunks between its head and its data."""
    length = rows * (1 + 3 * columns) if held is None else held
    head = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = [head, *more, b"IDAT" + zlib.compress(bytes(length)), b"IEND"]
    return _PNG + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def text_bomb(inflated: int) -> bytes:
    """A small PNG whose comment takes *inflated* bytes of memory when it is read."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(inflated // len(block)))
    return png(8, 8, b"zTXtComment\x00\x00" + packed + packer.flush())


def endless_jpeg(scans: int, edge: int = 4096) -> bytes:
    """A progressive JPEG of *scans* scans, each of which goes over every block and changes none.

    A scan is a few bytes: `end of band` runs, as ITU-T T.81, G.1.2.2 has them, of the longest
    kind, 32,767 blocks each.
    """
    quantities = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1]) * 64
    frame = b"\xff\xc2" + struct.pack(">HBHHB3B", 11, 8, edge, edge, 1, 1, 0x11, 0)
    # One code of one bit, 0, for a run of 2^14 blocks and as many more as 14 bits say.
    codes = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + bytes([1]) + bytes(15) + bytes([0xE0])
    header = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0x00, 1, 63, 0)
    blocks = (edge // 8) ** 2
    runs = -(-blocks // 32_767)
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    return b"\xff\xd8" + quantities + frame + codes + (header + data) * scans + b"\xff\xd9"
