"""Fixtures of the publishers' tests."""

from collections.abc import Iterator

import pytest

from s1mm_assets_tests.imitations.publishers import CREDENTIALS, ImitationPublishers


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a requester would pay with."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def publishers() -> Iterator[ImitationPublishers]:
    """All publishers' buckets, empty; their web services are mounted by who needs them."""
    with ImitationPublishers() as running:
        yield running
