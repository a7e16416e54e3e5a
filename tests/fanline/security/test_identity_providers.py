"""Tokens in the form that identity providers document, with the settings that docs/operations.md shows.

Samples have the claims of the providers' own pages, with keys, times, names and roles of these tests.
"""

import re
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fanline.security.authenticator import Unauthorized
from fanline.security.identity_provider import IdentityProvider, find_claim
from fanline.security.tokens import Claims
from fanline.settings import Settings
from tests.tree import ROOT

RSA = rsa.generate_private_key(65537, 2048)

KEYCLOAK: dict[str, Any] = {
    "jti": "d58f5dc8-fd8f-462b-8a19-716f8f83985b",
    "iss": "https://id.example.org/realms/shop",
    "aud": ["fanline", "account"],
    "sub": "f:36fa0f91-f94d-4a0c-afed-6b7d952e47da:ann",
    "typ": "Bearer",
    "azp": "web",
    "session_state": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
    "acr": "1",
    "allowed-origins": ["https://www.example.org"],
    "realm_access": {"roles": ["offline_access", "default-roles-shop", "uma_authorization", "trader"]},
    "resource_access": {"fanline": {"roles": ["reader"]}, "account": {"roles": ["manage-account"]}},
    "scope": "email profile",
    "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
    "email_verified": True,
    "name": "Ann Example",
    "preferred_username": "ann",
    "email": "ann@example.org",
}

AUTH0: dict[str, Any] = {
    "iss": "https://my-domain.auth0.com/",
    "sub": "auth0|123456",
    "aud": ["https://example.com/fanline", "https://my-domain.auth0.com/userinfo"],
    "azp": "my_client_id",
    "scope": "openid profile write:orders",
    "permissions": ["write:orders", "read:admin"],
    "https://example.com/topics": ["news.>"],
}

# The sample of version 2 of learn.microsoft.com/entra/identity-platform/access-tokens, with roles as on the
# page access-token-claims-reference: a list of the permissions that the user has on the API.
ENTRA: dict[str, Any] = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
    "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB7eBq4/DccQzjcJGxPYy/C3jDaNGxXd6wNIIVGRghNRnwJ1lOcAnNZcjvkoyrFxCtt"
    "v33140RioOFJ4bCCGVuoCag1uOTT22222gHwLPYQ/uf79QX+0KIijdrmp69RctzmQ==",
    "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "azpacr": "0",
    "name": "Ann Example",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "ann@example.org",
    "rh": "I",
    "roles": ["Orders.Write"],
    "scp": "access_as_user",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
}

# Version 1, by the same pages: some claims are in these tokens alone, and some are not in them.
ENTRA_2_ALONE = {"azp", "azpacr", "preferred_username"}
ENTRA_1 = {name: value for name, value in ENTRA.items() if name not in ENTRA_2_ALONE} | {
    "iss": "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
    "aud": "https://fanline.example.org",
    "acr": "1",
    "amr": ["pwd"],
    "appid": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "appidacr": "0",
    "ipaddr": "192.0.2.1",
    "unique_name": "ann@example.org",
    "ver": "1.0",
}

# docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html;
# there is aud only if the client has asked for a resource, and device_key only with remembered devices.
COGNITO: dict[str, Any] = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "cognito:groups": ["traders"],
    "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
    "version": 2,
    "client_id": "1example23456789",
    "aud": "https://api.example.com",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "event_id": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "token_use": "access",
    "scope": "phone openid profile fanline/read email",
    "auth_time": 1_676_313_851,
    "jti": "bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee",
    "username": "ann",
}

Verify = Callable[..., Any]


@pytest.fixture
def verify(make_settings: Callable[..., Settings], tmp_path: Path) -> Verify:
    """Verify a token with the documented settings of a provider, but keys of this test."""
    keys = tmp_path / "keys.pem"
    keys.write_bytes(RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    async def check(provider: str, claims: dict[str, Any], **changes: Any) -> Claims:
        text = (ROOT / "docs/operations.md").read_text()
        (shown,) = re.findall(rf"^```toml\n(# {provider}.*?)^```", text, re.MULTILINE | re.DOTALL)
        settings = tomllib.loads(shown) | {"jwks_url": None, "token_public_keys": keys} | changes
        now = int(time.time())
        token = jwt.encode(
            {"iat": now, "nbf": now, "exp": now + 3_600} | claims, RSA, "RS256", headers={"kid": "1"}
        )
        verifier = IdentityProvider.from_settings(make_settings(**settings))
        assert verifier is not None
        return await verifier.verify(token)

    return check


@pytest.mark.parametrize(
    ("provider", "sample", "name", "publish", "subscribe", "token_id"),
    [
        ("Keycloak", KEYCLOAK, "ann", ("orders.>",), ("user.ann.>", "orders.>", "news.>"), KEYCLOAK["jti"]),
        ("Auth0", AUTH0, "auth0|123456", ("orders.>",), ("news.>",), ""),
        ("Entra ID", ENTRA, ENTRA["oid"], ("orders.>",), ("orders.>",), ENTRA["uti"]),
        ("Cognito", COGNITO, "ann", ("orders.>",), ("orders.>",), COGNITO["jti"]),
    ],
    ids=["Keycloak", "Auth0", "Entra", "Cognito"],
)
async def test_documented_tokens_open_what_they_allow(
    verify: Verify,
    provider: str,
    sample: dict[str, Any],
    name: str,
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    token_id: str,
) -> None:
    """Name and rights follow from the claims, with the documented settings (line 45)."""
    claims = await verify(provider, sample)
    assert (claims.name, claims.token_id) == (name, token_id)
    assert (claims.publish, claims.subscribe) == (publish, subscribe)
    assert claims.issued > 0


async def test_tokens_for_other_clients_are_refused(verify: Verify) -> None:
    """The audience is checked in whichever claim it is, and is needed (line 45)."""
    for provider, sample, changes, reason in (
        ("Keycloak", KEYCLOAK, {"aud": "account"}, "the token is for another audience (aud)"),
        ("Auth0", AUTH0, {"aud": ["https://my-domain.auth0.com/userinfo"]}, "another audience (aud)"),
        ("Entra ID", ENTRA, {"aud": "api://other"}, "another audience (aud)"),
        ("Cognito", COGNITO, {"client_id": "other"}, "another audience (client_id)"),
        ("Cognito", COGNITO, {"client_id": ["x"], "aud": "1example23456789"}, "(client_id)"),
    ):
        with pytest.raises(Unauthorized) as refused:
            await verify(provider, sample | changes)
        assert reason in str(refused.value)
    id_token = {name: value for name, value in COGNITO.items() if name != "client_id"}
    with pytest.raises(Unauthorized, match="the token has no claim client_id"):
        await verify("Cognito", id_token | {"aud": "1example23456789", "token_use": "id"})


async def test_variants_that_the_documents_mention(verify: Verify) -> None:
    """Keycloak without an audience mapper, Entra ID's version 1, Cognito without a resource (line 45)."""
    without_mapper = KEYCLOAK | {"aud": "account"}
    by_client = {"token_audience_claim": "azp", "token_audience": "web"}
    assert (await verify("Keycloak", without_mapper, **by_client)).name == "ann"
    old = {"token_issuer": ENTRA_1["iss"], "token_audience": ENTRA_1["aud"]}
    assert (await verify("Entra ID", ENTRA_1, **old)).name == ENTRA["oid"]
    no_resource = {name: value for name, value in COGNITO.items() if name not in ("aud", "device_key")}
    assert (await verify("Cognito", no_resource)).name == "ann"


async def test_roles_without_rights_give_none(verify: Verify) -> None:
    """A token without the claims of the rules is a login without rights."""
    claims = await verify("Entra ID", {**ENTRA, "roles": [], "scp": "User.Read"})
    assert (claims.publish, claims.subscribe) == ((), ())


def test_a_claim_may_be_within_another() -> None:
    """Dots in the name of a claim, or of a client, are understood as they are meant."""
    nested = {"a": {"b": 1, "c.d": {"e": 2}}, "a.b": 3, "x": "y"}
    assert find_claim(nested, "a.b") == 3
    assert find_claim(nested, "a.c.d.e") == 2
    assert find_claim(nested, "a.x") is None
    assert find_claim(nested, "x.y") is None
