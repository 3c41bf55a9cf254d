"""TLS for the ports of predictions: one certificate and its key, read once at the start."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mainspring.kernel.errors import InvalidValue

_FIX = (
    "give PEM files: --tls-cert with the chain, the server's own certificate first, and --tls-key, its unencrypted key"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Where a server's certificate chain and its private key lie, both PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what TLS 1.2 and 1.3 connections are made with. Raises `InvalidValue` where the files do not fit."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_cert_chain(self.certificate, self.key, password=lambda: b"")  # OpenSSL would ask the terminal
        except OSError as error:  # an SSLError is one too
            raise InvalidValue(
                f"the certificate and key cannot be used: {error.strerror or error}", fix=_FIX
            ) from error
        made.set_alpn_protocols(["http/1.1"])
        return made

    def pair(self) -> tuple[bytes, bytes]:
        """Return (key, certificate chain) as they are written; `context` has read them before."""
        return self.key.read_bytes(), self.certificate.read_bytes()


def tls_of(certificate: Path | None, key: Path | None) -> Tls | None:
    """Return what two options say, None where neither is given. Raises `InvalidValue` for one alone."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidValue("a certificate and a key go together", fix=_FIX)
    return Tls(certificate=certificate, key=key)
