"""One running stack for the tests of a file: starting it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything running in capture mode, with an empty database."""
    with Stack(tmp_path_factory.mktemp("stack")) as started:
        yield started
