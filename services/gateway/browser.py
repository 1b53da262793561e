"""What a browser is told with each page: what it may load and run, and what it tells others."""

from collections.abc import Mapping
from typing import Final

_POLICY: Final = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_OF_SCRIPTS: Final = {
    "script-src": "'self'",
    # What it draws, and the file that it plays, are its own: no address, and nobody else's.
    "font-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
}
_FEATURES: Final = ("camera", "geolocation", "microphone", "payment", "usb")

COMMON: Final = {  # besides the `restraints` of every answer
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    "Cross-Origin-Opener-Policy": "same-origin",
}


def _written(policy: Mapping[str, str]) -> str:
    return "; ".join(f"{directive} {sources}" for directive, sources in policy.items())


PLAIN: Final = COMMON | {"Content-Security-Policy": _written(_POLICY)}
"""With a page that has no script."""
SCRIPTED: Final = COMMON | {"Content-Security-Policy": _written(_POLICY | _OF_SCRIPTS)}
"""With one that has."""
