"""The link from one service to msgqueue, made from the settings."""

from typing import Final

from fanline.link import Link
from fanline.settings import Settings
from fanline.tls import client_context

# A refused login can be put right on the other side; until then it is not tried more often than this.
REFUSED_DELAY: Final = 5.0


def link_to_queue(settings: Settings, path: str) -> Link:
    """Return a link to an endpoint of msgqueue, as the user that the settings name.

    Raises:
        ConfigurationError: If the CA or the password file cannot be read.
    """
    return Link(
        settings.queue_url + path,
        user=settings.link_user,
        password=settings.link_secret(),
        tls=client_context(settings.cert_dir),
        ping_interval=settings.ping_interval,
        silence_limit=settings.silence_limit,
        refused_delay=REFUSED_DELAY,
    )
