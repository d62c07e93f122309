"""TLS errors, explained in terms of the exporter's settings."""

from __future__ import annotations

import ssl

from assay.audit.errors import ConfigurationError

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_CLIENT = "set client_certificate and client_key to a certificate of an authority that the server trusts"


def check_files(certificate: str, client_certificate: str, client_key: str) -> None:
    """Check that OpenSSL can load the files.

    Args:
        certificate: PEM file of certificate authorities; empty for none.
        client_certificate: PEM file of the client's certificate; empty for none.
        client_key: PEM file of its key; empty if the key is in the certificate's file.

    Raises:
        ConfigurationError: A file cannot be loaded; the message names the setting.
    """
    if client_key and not client_certificate:
        raise ConfigurationError("client_key is given without client_certificate: set both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if certificate:
            context.load_verify_locations(certificate)
    except OSError as error:  # also ssl.SSLError
        raise ConfigurationError(
            f"certificate {certificate!r} is not a PEM file of certificates: {error}"
        ) from error
    if not client_certificate:
        return
    key = client_key or client_certificate
    try:
        # Without a password function OpenSSL asks on the terminal.
        context.load_cert_chain(client_certificate, key, password=lambda: "")
    except OSError as error:
        raise ConfigurationError(
            f"client_certificate {client_certificate!r} and client_key {key!r} are not a PEM certificate and"
            f" its key without a password: {error}"
        ) from error


def explain(error: BaseException) -> str | None:
    """Return what to change after a TLS failure that would repeat; None if a retry may help.

    Args:
        error: The exception. The ssl module's error is searched for in its causes and contexts.
    """
    found = _first(error, ssl.SSLError)
    if not isinstance(found, ssl.SSLError) or isinstance(found, ssl.SSLEOFError):
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _untrusted(found)
    reason = found.reason or str(found)
    if reason in _NO_TLS:
        return "the server does not speak TLS there: check the endpoint's scheme and port"
    if "ALERT" in reason:
        return f"the server ended the handshake ({reason}): {_CLIENT}"
    return f"TLS failed ({reason}): check certificate, client_certificate and client_key"


def hint(error: BaseException) -> str:
    """Return the likely reason for a connection without a response.

    A server that rejects a client's certificate often closes the connection without saying so.
    """
    if _first(error, ssl.SSLError, ConnectionResetError, BrokenPipeError) is not None:
        return (
            "it closed the connection; if it speaks TLS, use https; if it requires a client certificate,"
            f" {_CLIENT}"
        )
    return "is a Collector or the sink running there?"


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    found = f"the server's certificate is not accepted ({error.verify_message})"
    if error.verify_code in _OTHER_NAME:
        return f"{found}: use a name or address that the certificate contains in the endpoint"
    if error.verify_code == _EXPIRED:
        return f"{found}: renew it on the server"
    return f"{found}: set certificate to a file with the certificate authority that signed it"


def _first(error: BaseException | None, *kinds: type[BaseException]) -> BaseException | None:
    """Return the first error of these kinds in an exception's causes and contexts."""
    if error is None or isinstance(error, kinds):
        return error
    return _first(error.__cause__, *kinds) or _first(error.__context__, *kinds)
