#!/usr/bin/env python3
"""Rewrites a PNG of 8-bit RGB or RGBA as one with at most 256 colours: screenshots become half as large.

Usage: shrink_png.py FILE...
"""

import struct
import sys
import zlib
from collections import Counter

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(data):
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def unfilter(raw, width, height, size):
    """The rows of pixels, as bytes."""
    stride, rows, previous = width * size, [], bytearray(width * size)
    for number in range(height):
        start = number * (stride + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            left = row[i - size] if i >= size else 0
            up = previous[i]
            corner = previous[i - size] if i >= size else 0
            if kind == 1:
                row[i] = (row[i] + left) & 255
            elif kind == 2:
                row[i] = (row[i] + up) & 255
            elif kind == 3:
                row[i] = (row[i] + (left + up) // 2) & 255
            elif kind == 4:
                guess = left + up - corner
                a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
                row[i] = (row[i] + (left if a <= b and a <= c else up if b <= c else corner)) & 255
        rows.append(row)
        previous = row
    return rows


def shrink(data):
    parts = list(chunks(data))
    width, height, depth, kind = struct.unpack(">IIBB", parts[0][1][:10])
    if depth != 8 or kind not in (2, 6):
        return data
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows = unfilter(raw, width, height, size)
    pixels = [[bytes(row[i : i + 3]) for i in range(0, len(row), size)] for row in rows]
    count = Counter(pixel for row in pixels for pixel in row)
    palette = [colour for colour, _ in count.most_common(256)]

    def distance(one, other):
        return sum((a - b) ** 2 for a, b in zip(one, other))

    index = {colour: number for number, colour in enumerate(palette)}
    for colour in count:
        if colour not in index:
            index[colour] = min(range(len(palette)), key=lambda number: distance(colour, palette[number]))
    lines = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in pixels)

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"PLTE", b"".join(palette)) + chunk(b"IDAT", zlib.compress(lines, 9))
    return SIGNATURE + body + chunk(b"IEND", b"")


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        before = file.read()
    after = shrink(before)
    with open(path, "wb") as file:
        file.write(after)
