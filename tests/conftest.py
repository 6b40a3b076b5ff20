"""What every kind of test shares: reproducible random examples, no deadline on a slow machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Neither the files nor the keys of whoever runs the tests; kernels and commands that tests start inherit it.
OURS = ("NBRETRY_CACHE_DIR", "NBRETRY_TEST_KERNEL")
for variable in [name for name in os.environ if name.startswith("NBRETRY_") and name not in OURS]:
    del os.environ[variable]
os.environ["NBRETRY_CONFIG"] = os.devnull
os.environ["PYTHON_DOTENV_DISABLED"] = "1"
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
# Kernels listen on sockets that are files here, whose names may have a hundred characters at most.
os.environ["JUPYTER_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="nbretry-")

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="module", autouse=True)
def _no_thread_for_the_next_module() -> Iterator[None]:
    """End the thread of background questions, so that no module's result depends on which ones ran before it."""
    yield
    if loop_thread := sys.modules.get("nbretry.notebook.kernel.loop_thread"):
        loop_thread.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ["JUPYTER_RUNTIME_DIR"], ignore_errors=True)
