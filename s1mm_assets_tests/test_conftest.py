"""What the fixtures and hooks of all tests do."""

import pytest

from s1mm_assets_tests.conftest import pytest_runtest_setup


def test_a_program_that_is_missing_skips_a_test_but_fails_it_in_ci(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CI without Ghostscript does not pass for one that ran its tests."""
    request.node.add_marker(pytest.mark.needs("sh", "no-such-program"))

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^not installed: no-such-program$"):
        pytest_runtest_setup(request.node)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^not installed: no-such-program$"):
        pytest_runtest_setup(request.node)


@pytest.mark.needs("sh")
def test_a_program_that_is_there_stops_no_test(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither here nor in CI."""
    for value in ("", "true"):
        monkeypatch.setenv("CI", value)
        pytest_runtest_setup(request.node)
