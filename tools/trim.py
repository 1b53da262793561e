"""
Cut from an image's packages what its service never reads: `python trim.py /venv analyzer`.

What goes is never opened at run time, which the tests of the images show: libraries' own tests,
what a service does not import, and behind the last segment of each native library its symbol table,
which is for debuggers.
"""

import shutil
import struct
import sys
from pathlib import Path
from typing import Final

_EVERYWHERE: Final = ("**/tests",)
_SOURCES: Final = frozenset({".a", ".c", ".h", ".hpp", ".pxd", ".pyi", ".pyx"})
"""Of what is for compilers and type checkers."""
_UNREAD: Final = {
    "gateway": (),
    "analyzer": (
        # Of scipy, only what scipy.fft imports, by way of scipy.special and its C code.
        *(f"scipy/{name}" for name in ("cluster", "constants", "datasets", "differentiate")),
        *(f"scipy/{name}" for name in ("fftpack", "integrate", "interpolate", "io")),
        *(f"scipy/{name}" for name in ("misc", "ndimage", "odr", "optimize", "signal", "sparse")),
        *(f"scipy/{name}" for name in ("spatial", "special/cython_special.*.so", "stats")),
        "numba/cuda",
    ),
    # The module has all of it built in, and does not link to it.
    "transcriber": ("onnxruntime/capi/libonnxruntime.so.*",),
    "transcoder": (),
    "recorder": (),
}
_MODEL: Final = "services/transcriber/demo_model"
_ELF_64: Final = b"\x7fELF\x02"


def main(venv: Path, service: str) -> None:
    """Cut, and say by how much."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    before = _size(packages)
    foreign = () if service == "transcriber" else (_MODEL,)
    for pattern in (*_EVERYWHERE, *_UNREAD[service], *foreign):
        found = list(packages.glob(pattern))
        if not found:
            sys.exit(f"trim: there is no {pattern}: is it still what it was?")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:  # one in another is gone already
                path.unlink(missing_ok=True)
    for path in packages.rglob("*"):
        if path.suffix in _SOURCES:
            path.unlink()
        elif ".so" in path.suffixes and not path.is_symlink():
            _strip(path)
    print(f"{service}: {before / 1e6:.0f} MB, of which {_size(packages) / 1e6:.0f} MB are read")


def _strip(library: Path) -> None:
    """End a library behind its last segment; the loader reads no further, nor any section."""
    with library.open("r+b") as file:
        head = bytearray(file.read(64))
        if not head.startswith(_ELF_64):
            return
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        segments = [file.read(size) for _ in range(count)]
        # Where a segment begins in the file, and how long it is there.
        end = max(sum(struct.unpack_from("<Q16xQ", each, 8)) for each in segments)
        struct.pack_into("<Q", head, 40, 0)  # where the table of sections begins
        struct.pack_into("<HHH", head, 58, 0, 0, 0)  # its entries' size, their number, the names
        file.seek(0)
        file.write(head)
        file.truncate(max(end, offset + size * count))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
