"""The public client needs no more than the standard library, websockets and msgspec."""

import subprocess
import sys

from tests.forking.unmeasured import UNMEASURED

HEAVY = (
    "bcrypt", "cryptography", "fastapi", "httpx", "jwt", "prometheus_client", "pydantic", "pydantic_settings",
    "rich", "starlette", "typer", "uvicorn", "uvloop",
)  # fmt: skip

PROGRAM = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # importing it raises ImportError
import fanline
for name in fanline.__all__:
    getattr(fanline, name)
others = {{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - set({HEAVY})
print(*sorted(name for name in others if not name.startswith("__") and sys.modules[name] is not None))
"""


def test_the_client_imports_websockets_and_msgspec_alone() -> None:
    """``import fanline`` works where only these two are installed."""
    command = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=UNMEASURED)
    assert run.returncode == 0, run.stderr
    packages = {name for name in run.stdout.split() if not name.startswith(("_", "sitecustomize"))}
    assert packages <= {
        "fanline",
        "msgspec",
        "typing_extensions",
        "websockets",
    }  # msgspec looks for the third
