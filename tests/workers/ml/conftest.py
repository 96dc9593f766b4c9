"""Models on one thread: several test processes share the machine, and threads that wait for each other take longest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    import torch

    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
