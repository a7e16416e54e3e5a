"""The command line: what it prints, and how it exits."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import certs
from certs.cli import main
from certs.names import spell
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import CA_KEY, SERVER_CERT, names_of, read_certificates
from tests.forking import forked

Snapshot = Callable[[], dict[str, bytes]]


class Run:
    """One call of the command line: its exit code, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        self.code = caught.value.code
        self.out, self.err = capsys.readouterr()


def test_make_says_what_it_made_and_how_to_use_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, certificates are made; the way to use them is printed."""
    run = Run(capsys, "--dir", folder, "--name", "queue.example.com", "--name", "192.0.2.7")
    assert run.code == 0
    assert f"{folder / CA_CERT}: made; expires " in run.out
    assert f"{folder / SERVER_CERT}: made; expires " in run.out
    assert "queue.example.com, 192.0.2.7\n" in run.out
    assert f"curl --cacert {folder / CA_CERT} https://localhost:8081/healthz\n" in run.out
    assert f"import {folder / CA_CERT} as a certificate authority" in run.out


def test_make_says_what_it_kept(made: Path, contents: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    """Certificates that are good stay, and are said to."""
    before = contents()
    run = Run(capsys, "make", "--dir", made)
    assert (run.code, contents()) == (0, before)
    assert f"{made / CA_CERT}: kept; " in run.out
    assert f"{made / SERVER_CERT}: kept; " in run.out


def test_make_says_what_it_left_alone(
    made_elsewhere: Path, contents: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    """Certificates made elsewhere are not touched, and the output says why."""
    before = contents()
    run = Run(capsys, "--dir", made_elsewhere)
    assert (run.code, contents()) == (0, before)
    assert f"{made_elsewhere / SERVER_CERT}: made elsewhere, left alone; " in run.out


def test_show_lists_good_certificates(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both certificates are listed, and the exit code is 0."""
    run = Run(capsys, "show", "--dir", made)
    assert run.code == 0
    assert run.out.count("days left") == 2
    assert "private key" in run.out


def test_show_fits_a_narrow_terminal(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 80 columns, a fingerprint is still on one line, to be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    run = Run(capsys, "show", "--dir", made)
    assert any(len(word) == 64 for word in run.out.split())


def test_show_fails_if_something_is_wrong(expired: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An expired certificate is listed with its problem, and the exit code is 1."""
    run = Run(capsys, "show", "--dir", expired)
    assert run.code == 1
    assert f"{expired / SERVER_CERT}: expired on " in run.out


def test_renew_says_what_to_do_next(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a renewal services that run need nothing; the CA is as it was."""
    run = Run(capsys, "renew", "--dir", made, "--name", "new.internal")
    assert run.code == 0
    assert f"{made / CA_CERT}: kept; " in run.out
    assert f"{made / SERVER_CERT}: reissued; " in run.out
    assert "take it over by themselves" in run.out
    assert "old CA" not in run.out
    assert spell(names_of(read_certificates(made / SERVER_CERT)[0])).endswith(", new.internal")


def test_renew_with_a_new_ca_says_who_needs_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new CA has to be given to everyone who trusted the old one."""
    run = Run(capsys, "renew", "--ca", "--dir", made)
    assert run.code == 0
    assert f"Give every client that trusted the old CA the new {made / CA_CERT}.\n" in run.out


def test_client_makes_a_certificate_of_a_user(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its key is for its owner alone; without a CA of ours there is none (line 53)."""
    run = Run(capsys, "client", "ann", "--dir", made)
    assert run.code == 0
    assert f"client_ca_file is {made / CA_CERT}." in run.out
    certificate = read_certificates(made / "client-ann.crt")[0]
    assert certificate.subject.rfc4514_string() == "CN=ann"
    assert (made / "client-ann.key").stat().st_mode & 0o777 == 0o600
    for name, folder, words in (
        ("a b", made, "is not a user name"),
        ("a/b", made, "a file cannot have this name"),
        ("ann", tmp_path / "none", "it issues client certificates"),
    ):
        run = Run(capsys, "client", name, "--dir", folder)
        assert (run.code, words in run.err) == (2, True)


@pytest.mark.parametrize("command", ["make", "renew"])
def test_a_mistake_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A wrong argument is one line on standard error, and exit code 2."""
    run = Run(capsys, command, "--dir", folder, "--name", "a b")
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("certs: 'a b' is neither a DNS name nor an IP address; ")
    assert run.err.count("\n") == 1


def test_a_wrong_setting_is_reported_before_anything_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are checked first."""
    monkeypatch.setenv("FANLINE_PUBLISHER_PORT", "many")
    run = Run(capsys, "--dir", folder)
    assert run.code == 2
    assert run.err.startswith("certs: publisher_port: ")
    assert not folder.exists()


@pytest.mark.parametrize("arguments", [("--dir", "x", "renew"), ("shwo",), ("show", "--name", "x")])
def test_a_wrong_command_line_does_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str]
) -> None:
    """A command in the wrong place, an unknown one, and an option that it lacks are refused."""
    monkeypatch.chdir(tmp_path)
    assert Run(capsys, *arguments).code == 2
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` is about all commands, not about the default one."""
    run = Run(capsys, "--help")
    assert run.code == 0
    assert all(f"\n  {command} " in run.out for command in ("make", "show", "renew"))


@pytest.mark.parametrize("variable", ["WS_CERT_DIR", "FANLINE_CERT_DIR"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_the_folder_is_that_of_the_settings(folder: Path, variable: str, slash: str) -> None:
    """The program takes its folder from either variable, with or without a trailing slash (line 3)."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("CERT_DIR")}
    made = forked.run("certs", environment=clean | {variable: f"{folder}{slash}"})
    assert made.returncode == 0
    assert (folder / CA_KEY).is_file()
    certs.verify(folder)


def test_the_program_reports_in_one_line(folder: Path) -> None:
    """The program ends with exit code 2 and no traceback (line 3)."""
    folder.touch()
    run = forked.run("certs", "--dir", str(folder), environment=os.environ)
    assert run.returncode == 2
    assert run.stderr == (
        f"certs: {folder}: cannot be made (File exists); "
        "choose another folder with --dir, or change its owner or mode\n"
    )
