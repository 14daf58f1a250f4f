"""Fixtures of the resources' tests."""

from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture(scope="module")
def s3_uri() -> Iterator[str]:
    """A bucket on a real S3 server on loopback."""
    import boto3
    from moto.server import ThreadedMotoServer

    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(
        Bucket="store"
    )
    yield f"s3://store/data?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()
    patch.undo()


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves a child process. Services of other tests on the same worker may run on."""
    before = psutil.Process().children()
    yield
    assert [child for child in psutil.Process().children() if child not in before] == []
