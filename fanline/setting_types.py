"""The kinds of values that settings have."""

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork

from fanline.addresses import split_hosts, split_listen_url, split_url
from fanline.protocol.errors import Rejected
from fanline.protocol.topics import require_pattern

# Marks a setting whose value is not repeated in an error, because a secret may stand there by mistake.
HIDDEN: Final = object()


def _pattern(text: str) -> str:
    try:
        require_pattern(text)
    except Rejected as rejected:
        raise ValueError(rejected.reason) from None
    return text


def from_json(value: object) -> object:
    """Return a JSON text's list of tables; anything else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"expected a JSON array of rules: {error}") from None


_ENDPOINTS: Final = ("/publish", "/subscribe", "/pushmsg", "/popmsg")


def _service_url(text: str) -> str:
    url = text.rstrip("/")
    parts = split_url(url)
    if parts.query or parts.fragment:
        raise ValueError("expected wss://HOST:PORT, perhaps with a path, and nothing after it")
    if parts.path.endswith(_ENDPOINTS):
        raise ValueError(f"expected the URL of the service, without {parts.path}")
    return url


def _service_url_or_none(text: str) -> str:
    return "" if text == "none" else _service_url(text)


def _service_urls(text: str) -> str:
    return ",".join(_service_url(url.strip()) for url in text.split(","))


def _listen_url(text: str) -> str:
    split_listen_url(text)
    return text


def _path_prefix(text: str) -> str:
    if text and not re.fullmatch(r"(/[\w.~-]+)+", text, re.ASCII):
        raise ValueError("expected a path such as /live, without a slash at its end")
    return text


def _hosts(text: str) -> str:
    if not split_hosts(text):
        raise ValueError("expected a name or an address, or several with commas between them")
    return text


def _https_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise ValueError("expected https://HOST/PATH, without a login")
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
    return text.rstrip("/")


def split_commas(value: object) -> object:
    """Return the parts of a text between commas; another value unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origin(text: str) -> str:
    parts = urlsplit(text)
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    if not is_web or f"{parts.scheme}://{parts.netloc}" != text:
        raise ValueError("expected https://HOST or https://HOST:PORT, without a path")
    return text.lower()


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 366)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1024)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
ServiceUrlOrNone = Annotated[str, AfterValidator(_service_url_or_none)]
PathPrefix = Annotated[str, AfterValidator(_path_prefix)]
ServiceUrls = Annotated[str, AfterValidator(_service_urls)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(split_commas)]
ListenUrls = Annotated[tuple[Annotated[str, AfterValidator(_listen_url)], ...], BeforeValidator(split_commas)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(split_commas)]
PasswordFile = Annotated[Path | None, HIDDEN]
Words = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
Algorithms = Annotated[
    tuple[Literal["RS256", "ES256", "EdDSA"], ...], Field(min_length=1), BeforeValidator(split_commas)
]
Pattern = Annotated[str, AfterValidator(_pattern)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
Hosts = Annotated[str, AfterValidator(_hosts)]


class TokenRights(BaseModel):
    """Rights of an identity provider's tokens with a certain claim value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str
    value: str
    publish: tuple[Pattern, ...] = ()
    subscribe: tuple[Pattern, ...] = ()


TokenRules = Annotated[tuple[TokenRights, ...], BeforeValidator(from_json)]
