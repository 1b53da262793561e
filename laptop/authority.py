"""
An authority that signs one certificate and is forgotten: TLS where nobody has certificates yet.

    python -m laptop.authority FOLDER HOST...

writes `ca.crt`, `tls.crt` and `tls.key`. The authority's own key is nowhere on disk afterwards, so
that whoever trusts `ca.crt` trusts this one certificate.
"""

import subprocess
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from laptop import CannotRun, programs

DAYS: Final = 365
_CONFIG: Final = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
subjectAltName = {names}
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def sign(folder: Path, hosts: list[str]) -> None:
    """Write a certificate for a server of these names or addresses, and who has signed it."""
    openssl = programs.ensure("openssl")
    with tempfile.TemporaryDirectory(prefix="decibus-authority-") as name:
        secret = Path(name)
        config = secret / "openssl.cnf"
        config.write_text(_CONFIG.format(name=hosts[0], names=",".join(map(_named, hosts))))

        def run(*arguments: str | Path) -> None:
            ran = subprocess.run(  # noqa: S603 - of our own words, paths and names
                [openssl, *arguments], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                raise CannotRun(f"openssl {arguments[0]} failed: {ran.stderr.strip()}")

        new = ("req", "-config", config, *_KEY)
        ca, key, request = folder / "ca.crt", secret / "ca.key", secret / "tls.csr"
        authority = ("-x509", "-extensions", "authority", "-days", str(DAYS))
        run(*new, *authority, "-keyout", key, "-out", ca)
        run(*new, "-keyout", folder / "tls.key", "-out", request)
        server = ("-extfile", config, "-extensions", "server", "-days", str(DAYS))
        by = ("-CA", ca, "-CAkey", key, "-CAcreateserial", "-CAserial", secret / "serial")
        run("x509", "-req", "-in", request, *by, *server, "-out", folder / "tls.crt")


def _named(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


if __name__ == "__main__":
    into, *wanted = sys.argv[1:]
    Path(into).mkdir(parents=True, exist_ok=True)
    try:
        sign(Path(into), wanted)
    except CannotRun as error:
        sys.exit(f"decibus: {error}")
