"""Every engine agrees with a simple model of a log."""

import pytest
from hypothesis import given, settings

from tests.msgqueue.store.conformance.conftest import ENGINES
from tests.msgqueue.store.store_model import STEPS, OpenStore, Step, agree


@pytest.mark.parametrize("open_store", ENGINES)
@given(steps=STEPS)
@settings(max_examples=15)
def test_agrees_with_the_model(open_store: OpenStore, steps: list[Step]) -> None:
    """Whatever is done to it, and in whatever order, the log is what a plain list would be."""
    agree(open_store, steps)
