"""The application over a temporary archive, asked without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.web.app import create_app
from pacslab.web.context import Context


@pytest.fixture
def web(archive: Archive) -> Iterator[httpx.Client]:
    """A client of the application; no token is needed."""
    with TestClient(create_app(Context(archive)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def webs(archive: Archive) -> Callable[..., httpx.Client]:
    """Makes clients of applications with other settings."""

    def make(**settings: Any) -> httpx.Client:
        return TestClient(create_app(Context(archive, **settings)), raise_server_exceptions=False)

    return make
