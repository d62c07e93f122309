"""TLS in terms of the exporter's settings: files that cannot be used, and connections that failed."""

from __future__ import annotations

import ssl

from assay.audit.errors import ConfigurationError

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_CLIENT = "set client_certificate and client_key to a certificate of an authority that the server trusts"


def check_files(certificate: str, client_certificate: str, client_key: str) -> None:
    """Check that the files can be used; each may be empty, and the key may be in the certificate's file.

    Raises:
        ConfigurationError: One cannot; the message names the setting.
    """
    if client_key and not client_certificate:
        raise ConfigurationError("client_key is given without client_certificate: set both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if certificate:
            context.load_verify_locations(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"certificate {certificate!r} is no PEM file of certificates: {error}"
        ) from error
    if not client_certificate:
        return
    key = client_key or client_certificate
    try:
        # OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(client_certificate, key, password=lambda: "")
    except OSError as error:
        raise ConfigurationError(
            f"client_certificate {client_certificate!r} and client_key {key!r} are no PEM certificate and its"
            f" key without a password: {error}"
        ) from error


def explain(error: BaseException) -> str | None:
    """Say what to change after a connection failed in TLS, and would fail again.

    Args:
        error: What was raised; the error of the ssl module is looked for in what led to it.

    Returns:
        The explanation, None when trying again may help.
    """
    found = _first(error, ssl.SSLError)
    if not isinstance(found, ssl.SSLError) or isinstance(found, ssl.SSLEOFError):
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return _untrusted(found)
    reason = found.reason or str(found)
    if reason in _NO_TLS:
        return "the server speaks no TLS there: check the endpoint's scheme and port"
    if "ALERT" in reason:
        return f"the server ended the handshake ({reason}): {_CLIENT}"
    return f"TLS failed ({reason}): check certificate, client_certificate and client_key"


def hint(error: BaseException) -> str:
    """Say what may be behind a connection without an answer: few servers say that they refuse a client."""
    if _first(error, ssl.SSLError, ConnectionResetError, BrokenPipeError) is not None:
        return (
            f"it ended the connection; if it speaks TLS, use https; if it wants to know the client, {_CLIENT}"
        )
    return "is a Collector or the sink running there?"


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    found = f"the server's certificate does not hold ({error.verify_message})"
    if error.verify_code in _OTHER_NAME:
        return f"{found}: use a name or address in the endpoint that is in the certificate"
    if error.verify_code == _EXPIRED:
        return f"{found}: renew it at the server"
    return f"{found}: set certificate to a file with the authority that signed it"


def _first(error: BaseException | None, *kinds: type[BaseException]) -> BaseException | None:
    """Return the first error of these kinds among what requests and urllib3 wrapped."""
    if error is None or isinstance(error, kinds):
        return error
    return _first(error.__cause__, *kinds) or _first(error.__context__, *kinds)
