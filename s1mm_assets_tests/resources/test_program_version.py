"""What programs say of their version, and programs that say nothing."""

import sys
from pathlib import Path

import pytest

from s1mm_assets.resources import program_version
from s1mm_assets.resources.program_version import stated_version


def script(path: Path, lines: str, interpreter: str = sys.executable) -> str:
    """Write a program of a few lines; return its path."""
    path.write_text(f"#!{interpreter} -I\n{lines}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("import sys; print('kit', sys.argv[1:], '4.0.12, Python 3.11.7')", "4.0.12"),
        ("import sys; sys.exit('pdftoppm version 22.12.0')", "22.12.0"),
        ("print('by hand')", "unknown"),
    ],
)
def test_the_number_is_that_in_what_a_program_says(lines: str, expected: str, tmp_path: Path) -> None:
    """The first, on whichever channel it comes."""
    assert stated_version(script(tmp_path / "kit", lines)) == expected


def test_a_program_that_does_not_work_is_as_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not start, or does not answer: the caller goes on, and says what is missing."""
    monkeypatch.setattr(program_version, "ANSWER_S", 0.2)

    assert stated_version(str(tmp_path / "nowhere")) is None
    assert stated_version(script(tmp_path / "unstartable", "", interpreter="/no/such/python")) is None
    assert stated_version(script(tmp_path / "silent", "import time; time.sleep(1000)")) is None
