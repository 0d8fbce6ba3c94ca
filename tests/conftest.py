"""Settings for every test."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny tensors are slower on many threads, and much slower where other programs want the cores too."""
    torch.set_num_threads(1)
