"""TLS 1.3 with client certificates: contexts, reload without restart, refused handshakes logged.

Session tickets are off: a resumed session is not verified again, so a certificate that expired
meanwhile would pass. The context that listens never changes; every ClientHello is answered by the
current one, so a reload also takes away a CA.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from edge_site_proxy.identity.errors import AuthorityError

_log = structlog.get_logger(__name__)
_QUIET_S = 1.0  # a scanner or a lost fleet would otherwise write a line a connection
_STILL_GOING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class HandshakeLog:
    """Counts refused handshakes and writes at most one line a second."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last_s: float | None = None
        self._unsaid = 0
        self.refused = 0

    def note(self, reason: str, detail: str) -> None:
        """One handshake was refused for *reason*."""
        self.refused += 1
        now_s = self._monotonic()
        if self._last_s is not None and now_s - self._last_s < _QUIET_S:
            self._unsaid += 1
            return
        _log.warning("handshake.refused", reason=reason, detail=detail, unsaid=self._unsaid)
        self._last_s, self._unsaid = now_s, 0


class TlsFront:
    """The server's TLS settings, reloadable while connections stay open.

    Args:
        certificate: PEM chain of this server.
        key: its private key, PEM.
        client_ca: PEM of the CA that client certificates must chain to; None asks for none,
            which only the enrolment port does.
        handshakes: where refused handshakes are noted.

    Raises:
        AuthorityError: a file is missing or is not what it should be.
    """

    def __init__(
        self, certificate: Path, key: Path, client_ca: Path | None, handshakes: HandshakeLog
    ) -> None:
        self._files = (certificate, key, client_ca)
        self._ssl_object = _logged(handshakes)
        self._current = self._build()
        self.context = self._build()
        self.context.sni_callback = self._swap

    def reload(self) -> None:
        """Read the files again; connections made from now on see them.

        Raises:
            AuthorityError: a file is unusable; what was in force stays in force.
        """
        self._current = self._build()

    def _swap(self, connection: ssl.SSLObject, _name: str | None, _context: object) -> None:
        connection.context = self._current

    def _build(self) -> ssl.SSLContext:
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.sslobject_class = self._ssl_object
        try:
            context.load_cert_chain(certificate, key)
            if client_ca is not None:
                context.load_verify_locations(client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            raise AuthorityError(
                f"TLS files {certificate}, {key}, {client_ca or 'no client CA'}: expected PEM "
                f"that fits together, found: {error}"
            ) from error
        return context


def _logged(handshakes: HandshakeLog) -> type[ssl.SSLObject]:
    class LoggedSSLObject(ssl.SSLObject):
        """Both event loops close a refused connection without a word; this says why."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except _STILL_GOING:
                raise
            except ssl.SSLError as error:
                detail = getattr(error, "verify_message", "")
                handshakes.note(error.reason or type(error).__name__, detail)
                raise

    return LoggedSSLObject
