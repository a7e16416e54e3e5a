"""The folder of certificates: what is made, what is kept, and what is never overwritten."""

import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

import certs
from certs import Done, Outcome, files
from certs.authority import make_authority
from certs.names import DEFAULT_NAMES, spell
from fanline.errors import ConfigurationError
from fanline.files import PRIVATE, PUBLIC
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import CA_KEY, SERVER_CERT, SERVER_KEY, names_of, read_certificates, read_key

ALL = {CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY}
DEFAULTS = ", ".join(DEFAULT_NAMES)

Snapshot = Callable[[], dict[str, bytes]]


def names_in(folder: Path) -> str:
    return spell(names_of(read_certificates(folder / SERVER_CERT)[0]))


def refusal(call: Callable[[], object]) -> str:
    """Return the error of a call that must be refused."""
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestEnsure:
    def test_everything_is_made_in_an_empty_place(self, folder: Path) -> None:
        """A CA and a server certificate for the usual names are made, in a folder that is made too."""
        assert certs.ensure(folder) == Outcome(Done.MADE, Done.MADE)
        assert files.list_names(folder) == ALL
        assert names_in(folder) == DEFAULTS
        certs.verify(folder)

    def test_keys_are_private_and_certificates_public(self, made: Path) -> None:
        """Only the owner may read a key; everyone may read a certificate."""
        modes = {name: stat.S_IMODE((made / name).stat().st_mode) for name in ALL}
        assert modes == {CA_CERT: 0o644, CA_KEY: 0o600, SERVER_CERT: 0o644, SERVER_KEY: 0o600}

    def test_names_are_added_to_the_usual_ones(self, folder: Path) -> None:
        """Names and addresses that are asked for come after the usual ones, each once."""
        certs.ensure(folder, ["queue.example.com", "192.0.2.7", "localhost"])
        assert names_in(folder) == f"{DEFAULTS}, queue.example.com, 192.0.2.7"

    def test_what_is_good_is_kept(self, made: Path, contents: Snapshot) -> None:
        """A second call changes nothing, also if it asks for names that are there."""
        before = contents()
        assert certs.ensure(made, ["localhost", "::1"]) == Outcome(Done.KEPT, Done.KEPT)
        assert contents() == before

    def test_a_missing_name_is_added_under_the_same_ca(self, made: Path, contents: Snapshot) -> None:
        """A new name has the server certificate reissued; it keeps those that it had, and its CA."""
        certs.ensure(made, ["first.internal"])
        before = contents()
        assert certs.ensure(made, ["second.internal"]) == Outcome(Done.KEPT, Done.REISSUED)
        assert names_in(made) == f"{DEFAULTS}, first.internal, second.internal"
        assert (contents()[CA_CERT], contents()[CA_KEY]) == (before[CA_CERT], before[CA_KEY])

    def test_a_name_that_the_ca_may_not_have_is_refused(self, made: Path, contents: Snapshot) -> None:
        """A public name needs a new CA, which the error says how to make; nothing changes."""
        before = contents()
        for call in (certs.ensure, certs.renew):
            problem = refusal(partial(call, made, ["live.example.org"]))
            assert problem.startswith(
                f"{made / CA_CERT}: is constrained to other names than live.example.org"
            )
            assert f"python -m certs renew --ca --name live.example.org --dir {made}`" in problem
        assert contents() == before
        certs.renew(made, ["live.example.org"], ca=True)
        assert names_in(made) == f"{DEFAULTS}, live.example.org"

    def test_an_expired_server_certificate_is_reissued(self, expired: Path) -> None:
        """An expired server certificate is reissued for the names it had."""
        assert certs.ensure(expired) == Outcome(Done.KEPT, Done.REISSUED)
        assert names_in(expired) == DEFAULTS

    @pytest.mark.parametrize(
        ("gone", "done"),
        [({SERVER_KEY}, Done.REISSUED), ({SERVER_CERT, SERVER_KEY}, Done.MADE)],
    )
    def test_a_missing_server_pair_is_made(self, made: Path, gone: set[str], done: Done) -> None:
        """Under a CA of ours, a server pair that is missing, or lacks its key, is made."""
        for name in gone:
            (made / name).unlink()
        assert certs.ensure(made) == Outcome(Done.KEPT, done)

    def test_certificates_made_elsewhere_are_left_alone(
        self, made_elsewhere: Path, contents: Snapshot
    ) -> None:
        """Without the key of their CA, certificates were made elsewhere: nothing is written."""
        before = contents()
        assert certs.ensure(made_elsewhere, ["localhost"]) == Outcome(Done.LEFT_ALONE, Done.LEFT_ALONE)
        assert contents() == before

    def test_no_name_is_added_to_certificates_made_elsewhere(
        self, made_elsewhere: Path, contents: Snapshot
    ) -> None:
        """A name that a certificate made elsewhere lacks is refused, and nothing is written."""
        before = contents()
        text = refusal(lambda: certs.ensure(made_elsewhere, ["new.internal"]))
        assert text.startswith(f"{made_elsewhere / SERVER_CERT}: is not valid for new.internal")
        assert contents() == before

    @pytest.mark.parametrize(
        ("present", "missing"),
        [
            ({CA_CERT}, SERVER_CERT),
            ({CA_KEY}, CA_CERT),
            ({SERVER_CERT, SERVER_KEY}, CA_CERT),
            ({CA_CERT, SERVER_CERT}, SERVER_KEY),
            ({CA_CERT, SERVER_KEY}, SERVER_CERT),
            ({CA_CERT, CA_KEY, SERVER_KEY}, SERVER_CERT),
            ({CA_KEY, SERVER_CERT, SERVER_KEY}, CA_CERT),
        ],
    )
    def test_what_does_not_make_a_set_is_reported(
        self, made: Path, contents: Snapshot, present: set[str], missing: str
    ) -> None:
        """Files whose counterpart is missing are not overwritten; the error names the one that is missing."""
        for name in ALL - present:
            (made / name).unlink()
        before = contents()
        text = refusal(lambda: certs.ensure(made))
        assert text.startswith(
            f"{made / missing}: is missing, while the folder has {', '.join(sorted(present))}"
        )
        assert contents() == before

    def test_a_certificate_of_another_ca_is_reported(
        self, made: Path, tmp_path: Path, contents: Snapshot
    ) -> None:
        """With a CA of ours, a server certificate signed by another is not overwritten but named."""
        certs.ensure(tmp_path / "other")
        for name in (SERVER_CERT, SERVER_KEY):
            shutil.copy(tmp_path / "other" / name, made)
        before = contents()
        text = refusal(lambda: certs.ensure(made, ["localhost"]))
        assert text.startswith(
            f"{made / SERVER_CERT}: a client that trusts ca.crt of the same folder refuses it"
        )
        assert contents() == before

    def test_a_key_of_another_certificate_is_reported(
        self, made: Path, tmp_path: Path, contents: Snapshot
    ) -> None:
        """A server key that does not belong to its certificate is not overwritten but named."""
        certs.ensure(tmp_path / "other")
        shutil.copy(tmp_path / "other" / SERVER_KEY, made)
        before = contents()
        text = refusal(lambda: certs.ensure(made))
        assert text.startswith(f"{made / SERVER_KEY}: does not belong to {SERVER_CERT}")
        assert "python -m certs renew" in text
        assert contents() == before

    def test_a_link_that_leads_nowhere_is_not_overwritten(self, made: Path, tmp_path: Path) -> None:
        """A certificate that is a broken link is reported, not replaced."""
        (made / SERVER_CERT).unlink()
        (made / SERVER_CERT).symlink_to(tmp_path / "unmounted")
        assert refusal(lambda: certs.ensure(made)).startswith(f"{made / SERVER_CERT}: there is no such file")
        assert (made / SERVER_CERT).is_symlink()

    def test_the_key_of_the_ca_is_not_needed_to_keep(self, made: Path) -> None:
        """As long as nothing has to be issued, an unreadable CA key does no harm."""
        key = read_key(made / CA_KEY)
        locked_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
        (made / CA_KEY).write_bytes(locked_key)
        assert certs.ensure(made) == Outcome(Done.KEPT, Done.KEPT)
        text = refusal(lambda: certs.ensure(made, ["new.internal"]))
        assert text.startswith(f"{made / CA_KEY}: has a passphrase")

    def test_an_expired_ca_is_reported(self, folder: Path) -> None:
        """A CA that has expired is not replaced without being asked: the error says how to ask."""
        authority = make_authority(datetime.now(UTC) - timedelta(days=3660))
        folder.mkdir()
        files.replace(folder / CA_CERT, authority.certificate_pem(), PUBLIC)
        files.replace(folder / CA_KEY, authority.key_pem(), PRIVATE)
        text = refusal(lambda: certs.ensure(folder))
        assert text.startswith(f"{folder / CA_CERT}: expired on ")
        assert f"python -m certs renew --ca --dir {folder}`" in text
        assert certs.renew(folder, ca=True) == Outcome(Done.MADE, Done.REISSUED)

    def test_a_key_that_is_not_the_cas_is_reported(self, made: Path, tmp_path: Path) -> None:
        """Nothing is issued with a key that is not that of the CA, also not a new CA."""
        certs.ensure(tmp_path / "other")
        shutil.copy(tmp_path / "other" / CA_KEY, made)
        for call in (
            lambda: certs.ensure(made, ["new.internal"]),
            lambda: certs.renew(made),
            lambda: certs.renew(made, ca=True),
        ):
            assert refusal(call).startswith(f"{made / CA_KEY}: does not belong to {CA_CERT}")

    def test_a_key_that_cannot_issue_is_reported(self, made: Path) -> None:
        """A CA whose key is of another kind can be used, but nothing is issued with it."""
        key = ed25519.Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (made / CA_KEY).write_bytes(pem)
        (made / CA_CERT).write_bytes(_self_signed(key))
        for name in (SERVER_CERT, SERVER_KEY):
            (made / name).unlink()
        text = refusal(lambda: certs.ensure(made))
        assert text.startswith(f"{made / CA_KEY}: is neither an EC nor an RSA key")

    def test_a_bad_name_leaves_no_trace(self, folder: Path) -> None:
        """A name that cannot be is refused before anything is made."""
        assert refusal(lambda: certs.ensure(folder, ["a b"])).startswith("'a b' is neither")
        assert not folder.exists()

    def test_many_at_once_make_one_set(self, folder: Path) -> None:
        """Of several that find nothing at the same moment one makes everything, and the others keep it."""
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda _: certs.ensure(folder), range(8)))
        assert sorted(outcome.server for outcome in outcomes) == [Done.KEPT] * 7 + [Done.MADE]


class TestRenew:
    def test_the_ca_and_the_names_stay(self, made: Path, contents: Snapshot) -> None:
        """The server gets a new certificate and a new key, for the names it had and more, of the same CA."""
        certs.ensure(made, ["first.internal"])
        before = contents()
        assert certs.renew(made, ["second.internal"]) == Outcome(Done.KEPT, Done.REISSUED)
        after = contents()
        assert names_in(made) == f"{DEFAULTS}, first.internal, second.internal"
        assert {name for name in ALL if before[name] != after[name]} == {SERVER_CERT, SERVER_KEY}

    def test_a_new_ca_on_request(self, made: Path, contents: Snapshot) -> None:
        """With a new CA everything is new, but the names."""
        certs.ensure(made, ["first.internal"])
        before = contents()
        assert certs.renew(made, ca=True) == Outcome(Done.MADE, Done.REISSUED)
        after = contents()
        assert names_in(made) == f"{DEFAULTS}, first.internal"
        assert all(before[name] != after[name] for name in ALL)
        certs.verify(made)

    @pytest.mark.parametrize("ca", [False, True])
    def test_certificates_made_elsewhere_are_refused(
        self, made_elsewhere: Path, contents: Snapshot, ca: bool
    ) -> None:
        """Certificates made elsewhere are renewed elsewhere."""
        before = contents()
        assert refusal(lambda: certs.renew(made_elsewhere, ca=ca)).startswith(
            f"{made_elsewhere / CA_KEY}: there is no such"
        )
        assert contents() == before

    @pytest.mark.parametrize("ca", [False, True])
    @pytest.mark.parametrize("names", [{SERVER_CERT, SERVER_KEY}, {SERVER_KEY}])
    def test_a_server_pair_made_elsewhere_is_refused(
        self, made: Path, tmp_path: Path, contents: Snapshot, names: set[str], ca: bool
    ) -> None:
        """With a CA of ours, the server key of another CA is not overwritten."""
        certs.ensure(tmp_path / "other")
        for name in (SERVER_CERT, SERVER_KEY):
            (made / name).unlink()
        for name in names:
            shutil.copy(tmp_path / "other" / name, made)
        before = contents()
        text = refusal(lambda: certs.renew(made, ca=ca))
        assert text.startswith(f"{made / min(names)}: was not issued by {CA_CERT}")
        assert contents() == before

    def test_a_missing_server_pair_is_made(self, made: Path) -> None:
        """If only the CA is there, its server certificate is made for the usual names."""
        for name in (SERVER_CERT, SERVER_KEY):
            (made / name).unlink()
        certs.renew(made)
        assert names_in(made) == DEFAULTS

    def test_a_certificate_without_names_gets_the_usual_ones(self, made: Path) -> None:
        """A server certificate of ours that no client accepts for any host is made one that they do."""
        shutil.copy(made / CA_CERT, made / SERVER_CERT)
        shutil.copy(made / CA_KEY, made / SERVER_KEY)
        certs.renew(made)
        assert names_in(made) == DEFAULTS

    def test_a_wrong_key_is_put_right(self, made: Path, tmp_path: Path) -> None:
        """A server certificate of ours with a key that is not its own is renewed with one that is."""
        certs.ensure(tmp_path / "other")
        shutil.copy(tmp_path / "other" / SERVER_KEY, made)
        certs.renew(made)
        certs.verify(made)

    def test_nothing_is_made_where_there_is_nothing(self, folder: Path) -> None:
        """Renewing in an empty place is refused, and makes no folder."""
        assert refusal(lambda: certs.renew(folder)).startswith(f"{folder / CA_KEY}: there is no such file")
        assert not folder.exists()


def _self_signed(key: ed25519.Ed25519PrivateKey) -> bytes:
    now = datetime.now(UTC)
    subject = make_authority(now).certificate.subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
    return certificate.public_bytes(Encoding.PEM)
