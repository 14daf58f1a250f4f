"""The `s1mm` command as people call it: output, exit codes, errors in plain words."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

S1MM = Path(sys.executable).with_name("s1mm")
KEYS = [
    *("paper_id", "figure_id", "figure_number", "image", "caption", "sub_caption", "parent_caption"),
    *("caption_raw", "labels", "mentions", "method", "page", "bbox", "confidence"),
    *("width_px", "height_px", "rejection"),
]
PAPER = rb"""\documentclass{article}\begin{document}
Figure~\ref{f} shows a square.
\begin{figure}\includegraphics{%s}\caption{A square.}\label{f}\end{figure}
\end{document}"""


def s1mm(*arguments: str | Path, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    env.pop("DAGSTER_HOME", None)
    return subprocess.run([S1MM, *arguments], env=env, capture_output=True, text=True, check=False)


def square() -> bytes:
    """A PNG image."""
    from PIL import Image

    sink = io.BytesIO()
    Image.effect_noise((80, 80), 60).save(sink, "PNG")
    return sink.getvalue()


def bundle(path: Path, graphics: bytes = b"square", members: dict[str, bytes] | None = None) -> Path:
    """A paper with one figure, as a tar.gz."""
    files = {"main.tex": PAPER % graphics, "square.png": square()} | (members or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def home(tmp_path: Path) -> dict[str, Path]:
    names = ("sources", "store", "release")
    return {f"S1MM_{name.upper()}": tmp_path / name for name in names}


def test_extract_prints_a_line_per_figure_and_writes_its_image(tmp_path: Path) -> None:
    """The keys of the format, in order; a paper without figures is one line that says why."""
    good = bundle(tmp_path / "in" / "p.v1.tar.gz")
    (tmp_path / "in" / "empty.gz").write_bytes(b"")
    (tmp_path / "in" / "metadata.jsonl").write_text("{}")

    done = s1mm("extract", tmp_path / "in", "--images", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line) for line in lines] == [KEYS, KEYS]
    assert [(line["paper_id"], line["rejection"]) for line in lines] == [("empty", "empty"), ("p.v1", None)]
    assert lines[0]["figure_id"] is None
    assert lines[1]["image"] == "square.png"
    assert lines[1]["caption"] == "A square."
    assert (lines[1]["width_px"], lines[1]["height_px"]) == (80, 80)
    [image] = (tmp_path / "out").iterdir()
    assert image.read_bytes().startswith(b"\x89PNG")
    assert good.exists()


def test_extract_reads_a_folder_of_loose_files_as_one_paper(tmp_path: Path) -> None:
    """An article in JATS beside its images, as PMC has it."""
    folder = tmp_path / "in" / "PMC1.1"
    folder.mkdir(parents=True)
    (folder / "fig1.png").write_bytes(square())
    (folder / "article.nxml").write_text(
        '<?xml version="1.0"?><article xmlns:xlink="http://www.w3.org/1999/xlink" article-type="research-article">'
        "<front><article-meta><title-group><article-title>T</article-title></title-group></article-meta></front>"
        "<body><sec><title>S</title><p>See text.</p>"
        '<fig id="f1"><label>Figure 1</label><caption><p>A square.</p></caption>'
        '<graphic xlink:href="fig1"/></fig></sec></body></article>'
    )

    done = s1mm("extract", tmp_path / "in")

    assert done.returncode == 0, done.stderr
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["paper_id"], line["image"], line["caption"]) == ("PMC1.1", "fig1.png", "A square.")


def test_extract_without_a_figure_fails(tmp_path: Path) -> None:
    """Exit code 1: something is wrong with the data. 2: with the call."""
    (tmp_path / "empty.gz").write_bytes(b"")

    assert s1mm("extract", tmp_path / "empty.gz").returncode == 1
    wrong = s1mm("extract", tmp_path / "nothing.gz")
    assert wrong.returncode == 2
    assert "nothing.gz does not exist: name a bundle" in wrong.stderr


def test_names_that_look_like_markup_are_shown_as_they_are(home: dict[str, Path]) -> None:
    """A paper must not break, nor colour, what people read."""
    bundle(home["S1MM_SOURCES"] / "local" / "2001.00001.tar.gz", graphics=b"a[/b][red].png")

    built = s1mm("build", **home)
    failures = s1mm("failures", **home)
    (home["S1MM_RELEASE"] / "q[" / "b]").mkdir(parents=True, exist_ok=True)
    (home["S1MM_RELEASE"] / "q[" / "b]" / "x").write_text("extra")
    verified = s1mm("verify", home["S1MM_RELEASE"])

    assert built.returncode == 0, built.stdout + built.stderr
    assert "a[/b][red].png" in failures.stdout
    assert "q[/b]/x" in verified.stdout
    assert verified.returncode == 1


def test_a_release_is_left_as_it_was_when_a_partition_fails(home: dict[str, Path]) -> None:
    """A partition whose check blocks, or whose papers vanished, must not reach those who read the release."""
    paper = bundle(home["S1MM_SOURCES"] / "local" / "2001.00001.tar.gz")
    assert s1mm("build", **home).returncode == 0
    before = (home["S1MM_RELEASE"] / "manifest.json").read_bytes()
    paper.unlink()

    done = s1mm("build", **home)

    assert done.returncode == 1
    assert "chunks that were landed are gone" in done.stdout
    assert "allow_vanished_chunks" in done.stdout
    assert (home["S1MM_RELEASE"] / "manifest.json").read_bytes() == before


def test_other_bytes_than_recorded_stop_the_step(home: dict[str, Path]) -> None:
    """A file that was replaced after raw_archives recorded it is not read under the old record."""
    paper = bundle(home["S1MM_SOURCES"] / "local" / "2001.00001.tar.gz")
    assert s1mm("build", **home).returncode == 0
    times = paper.stat().st_atime_ns, paper.stat().st_mtime_ns
    data = bytearray(paper.read_bytes())
    data[4] ^= 1  # the time in the gzip header: as long, and as sound
    paper.write_bytes(data)
    os.utime(paper, ns=times)
    [commit] = home["S1MM_STORE"].glob("figure_candidates/*/*/*/commit.json")
    commit.unlink()

    done = s1mm("build", **home)

    assert done.returncode == 1
    assert "not the bytes that raw_archives recorded" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("build",), {}, "sources"),
        (("build", "-p", "arxiv-2019"), {}, "arxiv-2019 is not a partition"),
        (("build", "--until", "bogus"), {}, "bogus is no asset of a partition"),
        (("plan", "--source", "bogus"), {}, "bogus is no source; there are: "),
        (("failures", "-p", "bogus"), {}, "bogus is not a partition"),
        (("failures", "--reason", "bad_luck"), {}, "bad_luck"),
        (("retry", "-p", "bogus"), {}, "bogus is not a partition"),
        (("gc", "--older-than-hours=-5"), {}, "greater than or"),
        (("verify", "nowhere"), {}, "nowhere is not a folder"),
        (("status",), {"S1MM_STORE": "ftp://x/y"}, "ftp"),
        (("status",), {"S1MM_WORKERS": "many"}, "S1MM_WORKERS"),
        (("status",), {"S1MM_VLLM_URLS": "a:8000"}, "S1MM_VLLM_URLS holds a:8000, which is no address"),
        (("status",), {"S1MM_VLLM": "vllm 'serve"}, "S1MM_VLLM is"),
        (("settings",), {"S1MM_SETTINGS": "absent.toml"}, "absent.toml cannot be read"),
    ],
)
def test_a_wrong_call_is_answered_in_a_line(
    home: dict[str, Path], arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    """Exit code 2 and what is wrong, without a traceback."""
    given: dict[str, str | Path] = {**home, **environment}

    done = s1mm(*arguments, **given)

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_are_read_back(tmp_path: Path) -> None:
    """What `s1mm settings` prints is a settings file."""
    file = tmp_path / "s1mm.toml"
    file.write_text(s1mm("settings").stdout)

    again = s1mm("settings", S1MM_SETTINGS=file)

    assert again.returncode == 0, again.stderr
    assert again.stdout == file.read_text()


def test_help_names_every_command() -> None:
    """And each has help of its own."""
    commands = (
        *(
            "demo",
            "build",
            "extract",
            "plan",
            "batch",
            "verify",
            "status",
            "failures",
            "retry",
            "gc",
            "settings",
        ),
    )
    text = s1mm("--help").stdout

    assert [command for command in commands if command not in text] == []
