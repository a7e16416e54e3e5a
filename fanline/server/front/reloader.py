"""Reloading of changed files and settings while a service runs."""

import logging
from collections.abc import Callable, Sequence

from fanline.errors import CloseCode, ConfigurationError
from fanline.security.logins import LoginVerifier, VerifiedLogin
from fanline.security.tls import ServerCertificate
from fanline.server.access import Access
from fanline.server.app import App
from fanline.server.front.connections import OpenConnections
from fanline.server.request.origins import OriginPolicy
from fanline.settings import ServiceSettings

logger = logging.getLogger(__name__)

# Reads the settings of a service again; raises ConfigurationError if any is wrong.
ReadSettings = Callable[[type[ServiceSettings]], ServiceSettings]


class Reloader:
    """Takes over files and settings that have changed while a service runs.

    Args:
        app: The service.
        settings: Its settings.
        certificate: Its certificate.
        logins: Who may log in.
        access: Decides on requests.
        connections: The open connections.
        wall_clock: Returns Unix seconds; the certificate expires by it.

    Attributes:
        settings: The settings that count.
        certificate: As given.
        access: As given.
        connections: As given.
    """

    def __init__(
        self,
        app: App,
        settings: ServiceSettings,
        certificate: ServerCertificate,
        logins: LoginVerifier,
        access: Access,
        connections: OpenConnections,
        wall_clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.certificate = certificate
        self.access = access
        self.connections = connections
        self._app = app
        self._logins = logins
        self._generation = logins.generation
        self._mistake: str | None = None
        self._wall_clock = wall_clock
        certificate.warn_of_expiry(wall_clock())

    @property
    def problems(self) -> Sequence[str]:
        """Reasons why changed settings or files cannot be used.

        Those from before remain in use.
        """
        found = (self._mistake, self.certificate.problem)
        return [*(problem for problem in found if problem is not None), *self._logins.problems]

    def reload(self, read: ReadSettings) -> None:
        """Read the settings again, and then changed files.

        Only the settings that can be changed are applied.

        Args:
            read: Reads the settings of a kind.
        """
        try:
            self._take(read(type(self.settings)))
        except ConfigurationError as error:
            self._mistake = f"{error}; the settings from before remain in force"
            logger.error("%s", self._mistake)
        else:
            self._mistake = None
        self.look(is_final=True)

    def _take(self, settings: ServiceSettings) -> None:
        """Take over changed settings; all or, if any is wrong, none."""
        origins = OriginPolicy(settings.allowed_origins, self.certificate.names)
        taken = {
            "log_level",
            "shutdown_delay",
            "drain_timeout",
            *self._logins.reload(settings),
            *self.access.reload(settings, origins),
            *self.connections.reload(settings),
            *self._app.reload(settings),
        }
        if settings.log_level != self.settings.log_level:
            logging.getLogger().setLevel(settings.log_level.upper())
        changed = {
            name: field.alias or name
            for name, field in type(settings).model_fields.items()
            if getattr(settings, name) != getattr(self.settings, name)
        }
        self.settings = self.settings.model_copy(update={name: getattr(settings, name) for name in taken})
        now = [shown for name, shown in changed.items() if name in taken]
        later = [shown for name, shown in changed.items() if name not in taken]
        logger.info("read the settings again; changed: %s", ", ".join(now) or "none")
        if later:
            logger.warning("changed, but in force after a restart only: %s", ", ".join(later))

    def look(self, *, is_final: bool = False) -> None:
        """Load changed files, and close connections that they forbid.

        Args:
            is_final: Take a changed certificate for complete.
        """
        authorities = self.certificate.authorities
        if self.certificate.look(is_final=is_final):
            if self.certificate.authorities != authorities:
                self.connections.check_logins(_end_certificates)
            self.access.origins = OriginPolicy(self.settings.allowed_origins, self.certificate.names)
        self.certificate.warn_of_expiry(self._wall_clock())
        if self._generation != self._logins.generation:
            self._generation = self._logins.generation
            self.connections.check_logins(self._logins.end_of)


def _end_certificates(login: VerifiedLogin) -> tuple[CloseCode, str] | None:
    """Return how to close a connection whose CAs are replaced."""
    if not login.is_by_certificate:
        return None
    return CloseCode.GOING_AWAY, "the CA certificates of clients have changed; reconnect"
