"""Tests of logins: who is let in, what it costs, and who waits for whom."""

import asyncio
import base64
import logging
import string
import threading
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, strategies as st

from fanline import auth
from fanline.auth import Authenticator, FailureDelay, Unauthorized, check_exposure
from fanline.errors import ConfigurationError
from fanline.settings import Settings
from fanline.users import User, UsersFile

CHEAP = 4
DEADLINE = 20.0
HERE, THERE, ELSEWHERE = "192.0.2.1", "198.51.100.2", "203.0.113.3"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


ALICE = basic("alice", "secret")


class Clock:
    """A clock that stands still until it is told, and sleeps without waiting."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Bcrypt:
    """Stands before the real check: counts the calls, and holds them back on request."""

    def __init__(self) -> None:
        self.calls = 0
        self.running = 0
        self.most = 0
        self.held: set[bytes] = set()
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self._check = bcrypt.checkpw
        self._lock = threading.Lock()

    def __call__(self, password: bytes, password_hash: bytes) -> bool:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.entered.release()
        if password in self.held:
            assert self.release.wait(DEADLINE)
        try:
            return self._check(password, password_hash)
        finally:
            with self._lock:
                self.running -= 1

    async def until_entered(self) -> None:
        """Wait until one more check has begun."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=DEADLINE)
