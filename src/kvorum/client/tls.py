"""TLS settings of a client, and the gRPC credentials made of them.

The files are checked when the client is made, with the `ssl` module: gRPC itself would only fail
each handshake later and write the reason to its own log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum.errors import ConfigError

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Files (PEM) that identify the two sides. Without `ca_file` the system's roots are used."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


def load_credentials(options: TlsOptions) -> grpc.ChannelCredentials:
    """The credentials of channels made with `options`.

    Raises:
        ConfigError: a file cannot be read or is not what it should be.
    """
    import grpc  # noqa: PLC0415 - loaded only by those who connect

    if (options.cert_file is None) != (options.key_file is None):
        raise ConfigError(
            "KeyFile and CertFile must both be present"
            f"[key: {options.key_file or ''}, cert: {options.cert_file or ''}]"
        )
    roots = _read(options.ca_file)
    chain = _read(options.cert_file)
    key = _read(options.key_file)
    _check(options)
    return grpc.ssl_channel_credentials(
        root_certificates=roots, private_key=key, certificate_chain=chain
    )


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"open {path}: {reason}") from error


def _check(options: TlsOptions) -> None:
    import ssl  # noqa: PLC0415 - 10 ms that only TLS needs

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.ca_file is not None:
        try:
            context.load_verify_locations(options.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(f"{options.ca_file}: no CA certificate in it ({error})") from error
    if options.cert_file is not None:
        try:
            context.load_cert_chain(options.cert_file, options.key_file)
        except ssl.SSLError as error:
            if "KEY_VALUES_MISMATCH" in str(error):
                raise ConfigError("tls: private key does not match public key") from error
            raise ConfigError(f"{options.cert_file}, {options.key_file}: {error}") from error
