"""The whole service in real processes, several at once, on whatever machine runs the tests."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of this shelf that fails runs once more: a starved machine is no fault of the product. Reruns are counted and shown."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))
