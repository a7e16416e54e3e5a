"""``fanline token``: logins for web pages and devices, without a password."""

from typing import Annotated, Final

import typer

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Authenticator
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User
from fanline.setting_sources import read
from fanline.settings import Settings

DAY: Final = 86_400
LONGEST_LIFETIME: Final = 366 * DAY

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The name that it stands for; not that of a user.", show_default=False
    ),
]
Publish = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Topics to publish on; may be repeated.", show_default="none"),
]
Subscribe = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Topics to subscribe to; may be repeated.", show_default="none"),
]
Lifetime = Annotated[
    int, typer.Option(metavar="SECONDS", min=1, max=LONGEST_LIFETIME, help="How long it is valid.")
]


def issue(name: Name, publish: Publish = None, subscribe: Subscribe = None, lifetime: Lifetime = DAY) -> None:
    """Print a token: a login for web pages, with the given rights.

    It is for publisher and subscriber. The key that signs it is made if there is none. The
    command revoke withdraws a token; a new key withdraws all.
    """
    bearer = User(name, tuple(publish or ()), tuple(subscribe or ()))
    if not (bearer.publish or bearer.subscribe):
        raise ConfigurationError("a token without rights opens nothing: add --publish or --subscribe PATTERN")
    values = read(Settings)
    if Authenticator(values.users_file).user(name):
        raise ConfigurationError(f"{name} is a user with a password: choose another name for the token")
    key = TokenKey.from_settings(values)
    key.create_if_missing()
    claims = Claims.new(name, lifetime=lifetime, publish=bearer.publish, subscribe=bearer.subscribe)
    typer.echo(key.issue(claims, PIPELINE))
