"""Whose libraries come along inside wheels. No metadata tell: found by their names, and read up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple


class Bundled(NamedTuple):
    """Libraries of one licence in one package; `files` are their names without version."""

    package: str
    what: str
    licence: str
    files: str


_FFMPEG: Final = "libavcodec libavdevice libavfilter libavformat libavutil libswresample libswscale"
_GCC: Final = "GPL-3.0-or-later WITH GCC-exception-3.1"
BUNDLED: Final = (
    Bundled("av", "FFmpeg", "LGPL-3.0-or-later", _FFMPEG),
    Bundled("av", "x264, x265", "GPL-2.0-or-later", "libx264 libx265"),
    Bundled("av", "LAME", "LGPL-2.0-or-later", "libmp3lame"),
    Bundled("av", "GnuTLS, ALSA", "LGPL-2.1-or-later", "libgnutls libasound"),
    Bundled("av", "Nettle, GMP", "LGPL-3.0-or-later", "libnettle libhogweed libgmp"),
    Bundled("av", "libunistring", "LGPL-3.0-or-later OR GPL-2.0-or-later", "libunistring"),
    Bundled("av", "OpenCORE AMR", "Apache-2.0", "libopencore"),
    Bundled("av", "dav1d", "BSD-2-Clause", "libdav1d"),
    Bundled("av", "SVT-AV1", "BSD-3-Clause-Clear", "libSvtAv1Enc"),
    Bundled(
        *("av", "libvpx, libwebp, Opus", "BSD-3-Clause"),
        "libvpx libwebp libwebpmux libsharpyuv libopus",
    ),
    Bundled("av", "libvpl, libdrm, XCB", "MIT", "libvpl libdrm libxcb libXau"),
    Bundled("numpy", "OpenBLAS", "BSD-3-Clause", "libscipy_openblas64_"),
    Bundled("numpy", "of GCC: gfortran, quadmath", _GCC, "libgfortran libquadmath"),
    Bundled("scipy", "OpenBLAS", "BSD-3-Clause", "libscipy_openblas"),
    Bundled("scipy", "of GCC: gfortran, quadmath", _GCC, "libgfortran libquadmath"),
    Bundled("ctranslate2", "CTranslate2 with oneDNN", "MIT AND Apache-2.0", "libctranslate2"),
    Bundled("ctranslate2", "of GCC: gomp", _GCC, "libgomp"),
    Bundled("llvmlite", "LLVM", "Apache-2.0 WITH LLVM-exception", "libllvmlite"),
    Bundled("soundfile", "libsndfile with mpg123", "LGPL-2.1-or-later", "libsndfile_x86_64"),
)


def carried(packages: Path) -> Mapping[str, set[str]]:
    """Return the libraries that wheels brought into a site-packages, by package."""
    found: dict[str, set[str]] = {}
    for folder in packages.glob("*.libs"):
        names = {path.name.partition(".")[0].partition("-")[0] for path in folder.glob("*.so*")}
        found[folder.name.removesuffix(".libs")] = names
    return found
