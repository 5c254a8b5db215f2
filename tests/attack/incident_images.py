"""incident_images.py DIR COUNT: so many JPEG files as lane cameras make them, 1,000 in each directory. It is one picture; a comment with camera, number and noise
of its own makes each of them another file of some kilobytes."""
import os
import random
import struct
import sys


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


class Bits:
    """Entropy-coded data: bits, padded with ones, 0xFF stuffed."""

    def __init__(self):
        self.value, self.count, self.out = 0, 0, bytearray()

    def put(self, value, bits):
        self.value, self.count = self.value << bits | value, self.count + bits
        while self.count >= 8:
            self.count -= 8
            byte = self.value >> self.count & 0xFF
            self.out += bytes([byte, 0] if byte == 0xFF else [byte])

    def finish(self):
        if self.count:
            self.put((1 << 8 - self.count) - 1, 8 - self.count)
        return bytes(self.out)


def picture(width, height):
    """A grey mosaic, baseline JPEG: the mean of each block, from a fixed seed; returned in two halves, before and behind where comments go."""
    noise, last, bits = random.Random(184000), 0, Bits()
    for _ in range(width // 8 * (height // 8)):
        level = noise.randrange(-100, 100)
        step, last = level - last, level
        size = abs(step).bit_length()
        bits.put(size, 4)  # every category has a code of four bits, its own number
        bits.put(step if step >= 0 else step + (1 << size) - 1, size)
        bits.put(0, 1)  # end of block
    head = b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    tail = segment(0xDB, b"\0" + bytes([8] * 64)) + segment(0xC0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    tail += segment(0xC4, b"\x00" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    tail += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    tail += segment(0xDA, b"\1\1\0\0\x3f\0") + bits.finish() + b"\xff\xd9"
    return head, tail


def write(folder, numbers):
    head, tail = picture(400, 320)
    noise = random.Random(numbers.start)
    made = set()
    for n in numbers:
        lane = os.path.join(folder, f"lane-{n // 1000:03}")
        if lane not in made:
            os.makedirs(lane, mode=0o755, exist_ok=True)
            made.add(lane)
        comment = b"lane %03d image %06d " % (n // 1000, n) + noise.randbytes(400)
        with open(os.path.join(lane, f"{n:06}.jpg"), "wb", buffering=0) as f:
            f.write(head + segment(0xFE, comment) + tail)


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    half = count // 2000 * 1000
    child = os.fork()
    write(folder, range(half) if not child else range(half, count))
    if child:
        assert os.waitpid(child, 0)[1] == 0
    else:
        os._exit(0)


if __name__ == "__main__":
    main()
