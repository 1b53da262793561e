import pytest

from services.analyzer.analyze import warm


@pytest.fixture(autouse=True, scope="session")
def _kernels() -> None:
    """Kernels are compiled before a test, and then for no other signature than their own."""
    warm()
