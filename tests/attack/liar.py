"""A filesystem served by a user, with FUSE, that says of its only file that it is root's, and that nobody else may write it.

liar.py FILE AT UID FLAGS: mounts FILE's bytes as AT/lib.so, with mount(2)'s FLAGS, then serves as UID until it is unmounted. Needs root."""
import ctypes, errno, os, struct, sys, time

source, at, uid, flags = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 29, 36, 42
ROOT, LIBRARY = 1, 2
with open(source, "rb") as f:
    content = f.read()
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id={uid},group_id={uid},allow_other"
if libc.mount(b"liar", at.encode(), b"fuse", flags, options.encode()):
    raise OSError(ctypes.get_errno(), "mount")
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)


def attributes(node):
    size, mode, now = (len(content), 0o100755, int(time.time())) if node == LIBRARY else (0, 0o40755, 0)
    return struct.pack("<6Q10I", node, size, (size + 511) // 512, now, now, now, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP and body == b"lib.so\0":
        return struct.pack("<4Q2I", LIBRARY, 0, 60, 60, 0, 0) + attributes(LIBRARY)
    if opcode == LOOKUP:
        return errno.ENOENT
    if opcode == GETATTR:
        return struct.pack("<Q2I", 60, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return bytes(16)
    if opcode == READ:
        _, offset, size = struct.unpack_from("<2QI", body)
        return content[offset:offset + size]
    if opcode == STATFS:
        return bytes(80)
    return b"" if opcode in (RELEASE, RELEASEDIR, FLUSH) else errno.ENOSYS


while True:
    try:
        request = os.read(device, 1 << 18)
    except OSError as e:
        sys.exit(e.errno != errno.ENODEV)
    _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
    if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    said = answer(opcode, node, request[40:])
    error, said = (-said, b"") if isinstance(said, int) else (0, said)
    os.write(device, struct.pack("<IiQ", 16 + len(said), error, unique) + said)
