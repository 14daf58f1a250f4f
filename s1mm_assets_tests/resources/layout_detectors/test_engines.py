"""MinerU and magic-pdf as child processes: what they are asked, and what they cannot do to the pipeline.

The engines are imitated by scripts that take the same arguments and write the same files; `make test-mineru` runs
MinerU itself.
"""

import json
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from s1mm_assets.extraction.pdf.layout import LayoutError, PageView
from s1mm_assets.resources.layout_detectors.engine_process import EngineLimits
from s1mm_assets.resources.layout_detectors.engines import EngineDetector, magic_pdf, mineru
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import pdf

LIMITS = EngineLimits(wall_s=60, memory_bytes=2**30, output_bytes=2**20)
SOON = EngineLimits(wall_s=0.5, memory_bytes=2**30, output_bytes=2**20)
PAGES = [PageView(number, 600, 800, lambda dpi: np.zeros((1, 1, 3), dtype=np.uint8)) for number in (0, 1)]

MAGIC_PDF = {  # as version 1.3 writes it
    "pdf_info": [
        {
            "preproc_blocks": [],
            "page_idx": 1,
            "page_size": [600, 800],
            "discarded_blocks": [],
            "para_blocks": [
                {
                    "type": "image",
                    "bbox": [50, 60, 300, 250],
                    "blocks": [
                        {"type": "image_body", "bbox": [50, 60, 300, 200], "group_id": 0, "lines": []},
                        {"type": "image_caption", "bbox": [50, 210, 300, 250], "group_id": 0, "lines": []},
                    ],
                }
            ],
        }
    ],
    "_parse_type": "txt",
    "_version_name": "1.3.12",
}
WRITES_IT = f"""
given, out = arguments["-p"], Path(arguments["-o"]) / "paper" / arguments["-m"]
assert Path(given).read_bytes() == b"%PDF-1.7 of the paper"
out.mkdir(parents=True)
(out / "paper_middle.json").write_text({json.dumps(MAGIC_PDF)!r})
"""

Imitation = Callable[..., EngineDetector]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made during a test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def imitation(tmp_path: Path) -> Imitation:
    """Make a command of a few lines that is called as magic-pdf is."""

    def make(lines: str, limits: EngineLimits = LIMITS) -> EngineDetector:
        program = tmp_path / "magic-pdf"
        head = "import os, subprocess, sys, time\nfrom pathlib import Path\n"
        parse = "arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        program.write_text(f"#!{sys.executable} -I\n{head}{parse}{lines}")
        program.chmod(0o755)
        return magic_pdf(str(program), limits)

    return make


def text_pdf() -> bytes:
    """A letter page with a few lines of text, 72 points from the left and 92 from the top."""
    lines = " ".join(f"(Line {number} says that all is well with the world.) Tj T*" for number in range(9))
    content = f"BT /F1 12 Tf 14 TL 72 700 Td {lines} ET".encode()
    font = b"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    return pdf(content, media_box=b"0 0 612 792", page=font)


def refusal(detector: EngineDetector) -> LayoutError:
    with pytest.raises(LayoutError) as refused:
        detector("hep-ph/0001001", b"%PDF-1.7 of the paper", PAGES)
    return refused.value


def test_what_the_engine_wrote_is_read(imitation: Imitation, scratch: Path) -> None:
    """Boxes in the order of the pages; the worker's copy of the detector does the same; nothing is left."""
    detector = pickle.loads(pickle.dumps(imitation(WRITES_IT)))  # noqa: S301 - our own

    first, second = detector("hep-ph/0001001", b"%PDF-1.7 of the paper", PAGES)

    assert first == ()
    assert [(box.kind, tuple(box.bbox)) for box in second] == [
        ("figure", (50, 60, 300, 200)),
        ("figure_caption", (50, 210, 300, 250)),
    ]
    assert list(scratch.iterdir()) == []


def test_an_engine_is_run_once_for_a_paper(imitation: Imitation, tmp_path: Path) -> None:
    """However few of its pages are shown at a time; another paper is read anew."""
    counted = f"with open({str(tmp_path / 'runs')!r}, 'a') as runs: runs.write('x')\n"
    detector = imitation(counted + WRITES_IT.replace('b"%PDF-1.7 of the paper"', "Path(given).read_bytes()"))

    papers = (b"one", b"one", b"other", b"other", b"one")
    found = [detector("p", data, [page])[0] for data in papers for page in PAGES]

    assert [len(boxes) for boxes in found] == [0, 2] * 5
    assert (tmp_path / "runs").read_text() == "xxx"


@pytest.mark.parametrize(
    ("lines", "rejection", "evidence"),
    [
        ("sys.exit(3)", Rejection.WORKER_CRASHED, "magic-pdf failed with status 3: it said nothing"),
        ("sys.exit('no models here')", Rejection.WORKER_CRASHED, "status 1: no models here"),
        ("os.kill(os.getpid(), 9)", Rejection.WORKER_CRASHED, "magic-pdf ended by signal 9"),
        ("1 / 0", Rejection.WORKER_CRASHED, "ZeroDivisionError: division by zero"),
        ("pass", Rejection.UNDECODABLE, "no MinerU output of this paper"),
        (
            "out = Path('out/paper/auto'); out.mkdir(parents=True); (out / 'paper_middle.json').write_text('{')",
            Rejection.UNDECODABLE,
            "magic-pdf: MinerU's file is not JSON",
        ),
        (
            "Path('out').mkdir(); os.mkfifo('out/paper_middle.json')",
            Rejection.UNDECODABLE,
            "no MinerU output of this paper",
        ),
    ],
)
def test_an_engine_that_fails_says_why(
    lines: str, rejection: Rejection, evidence: str, imitation: Imitation, scratch: Path
) -> None:
    """By the end of what it said; a paper that could be read is not mistaken for one without figures."""
    refused = refusal(imitation(lines))

    assert refused.rejection is rejection
    assert evidence in refused.evidence
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "limits", "rejection", "evidence"),
    [
        ("while True: pass", SOON, Rejection.TIMED_OUT, "took more than 0.5 s"),
        ("time.sleep(1000)", SOON, Rejection.TIMED_OUT, "took more than 0.5 s"),
        (
            "hold = bytearray(os.urandom(2 ** 20)) * 400; time.sleep(1000)",
            EngineLimits(wall_s=60, memory_bytes=200 * 2**20, output_bytes=2**20),
            Rejection.OUT_OF_MEMORY,
            "took more than 200 MiB of memory",
        ),
        (
            "subprocess.run([sys.executable, '-c', 'import time; a = bytearray(2 ** 20) * 400; time.sleep(1000)'])",
            EngineLimits(wall_s=60, memory_bytes=200 * 2**20, output_bytes=2**20),
            Rejection.OUT_OF_MEMORY,
            "took more than 200 MiB of memory",
        ),
        ("while True: print('x' * 999, flush=True)", LIMITS, Rejection.UNDECODABLE, "wrote more than 1 MiB"),
        (
            "for n in range(10 ** 9): Path(f'f{n}').write_bytes(bytes(10 ** 5)); time.sleep(0.01)",
            LIMITS,
            Rejection.UNDECODABLE,
            "wrote more than 1 MiB",
        ),
    ],
    ids=["busy", "asleep", "memory", "memory of a child", "messages", "files"],
)
def test_an_engine_that_takes_too_much_is_ended(
    imitation: Imitation,
    scratch: Path,
    *,
    lines: str,
    limits: EngineLimits,
    rejection: Rejection,
    evidence: str,
) -> None:
    """Time, memory and disk, its children's too; the folder goes with it."""
    refused = refusal(imitation(lines, limits))

    assert (refused.rejection, refused.evidence) == (rejection, f"magic-pdf {evidence}")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("after", ["time.sleep(1000)", "sys.exit(1)", WRITES_IT])
def test_nothing_that_an_engine_started_outlives_it(after: str, imitation: Imitation, tmp_path: Path) -> None:
    """A server that it leaves behind ends with it, whether it was ended or ended by itself."""
    note = tmp_path / "pid"
    started = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)']).pid"
    lines = f"Path({str(note)!r}).write_text(str({started}))\n{after}"

    try:
        imitation(lines, EngineLimits(wall_s=5, memory_bytes=2**30, output_bytes=2**20))(
            "p", b"%PDF-1.7 of the paper", PAGES
        )
    except LayoutError:
        assert after != WRITES_IT

    server = int(note.read_text())
    for _ in range(100):
        if not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("the server still runs")


def test_the_reason_is_the_same_on_every_run(imitation: Imitation) -> None:
    """Times, temporary folders, addresses and colours are left out of it."""
    moment = "2026-11-21 17:17:{time.time_ns() % 60:02}.{time.time_ns()}"
    detector = imitation(f"sys.exit(f'\\x1b[31m{moment} | in {{os.getcwd()}}/x at {{hex(time.time_ns())}}')")

    assert len({refusal(detector).evidence for _ in range(2)}) == 1


def test_an_engine_knows_little_of_where_it_runs(
    imitation: Imitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets stay outside, what MinerU is told goes in, and the way to the network is blocked."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("MINERU_DEVICE_MODE", "cuda:1")
    monkeypatch.setenv("MINERU_MODEL_SOURCE", "huggingface")
    names = ["AWS_SECRET_ACCESS_KEY", "MINERU_DEVICE_MODE", "MINERU_MODEL_SOURCE", "https_proxy"]

    refused = refusal(imitation(f"sys.exit(' '.join(os.environ.get(name, '-') for name in {names}))"))

    assert refused.evidence.endswith(": - cuda:1 local http://127.0.0.1:9")


@pytest.mark.parametrize("detector", [mineru(None, "flash", LIMITS), magic_pdf(None, LIMITS)])
def test_an_engine_that_is_not_there_says_how_to_get_it(detector: EngineDetector) -> None:
    """Which extra to install; the rows are done again once it is there."""
    refused = refusal(detector)

    assert refused.rejection is Rejection.RENDERER_MISSING
    assert f"pip install 's1mm-assets[{detector.component}]'" in refused.evidence


def test_mineru_without_models_is_told_not_to_ask_for_them(tmp_path: Path) -> None:
    """Its flash tier takes the text of the PDF as it is; the others decide for themselves."""
    flash, standard = (mineru(str(tmp_path), tier, LIMITS).arguments for tier in ("flash", "standard"))

    assert "--ocr-mode" not in standard
    assert flash[flash.index("--ocr-mode") + 1] == "txt"
    with pytest.raises(ValueError, match="no tier 'pro'; it has: flash, basic"):
        mineru(None, "pro", LIMITS)


@pytest.fixture
def mineru_itself() -> EngineDetector:
    """The real engine."""
    limits = EngineLimits(wall_s=300, memory_bytes=2**32, output_bytes=2**28)
    return mineru(shutil.which("mineru-kit"), "flash", limits)


@pytest.mark.mineru
@pytest.mark.needs("mineru-kit")
def test_mineru_itself_reads_a_pdf(mineru_itself: EngineDetector, scratch: Path) -> None:
    """The text on its page comes as a box on the page, and nothing is left behind."""
    [boxes] = mineru_itself("p", text_pdf(), [PageView(0, 612, 792, PAGES[0].draw)])

    assert "other" not in {box.kind for box in boxes}
    assert boxes[0].bbox.x0 == pytest.approx(72, abs=5)
    assert boxes[0].bbox.y0 == pytest.approx(92 - 12, abs=12)
    assert list(scratch.iterdir()) == []


@pytest.mark.mineru
@pytest.mark.needs("mineru-kit")
def test_mineru_itself_says_of_garbage_that_it_is(mineru_itself: EngineDetector, scratch: Path) -> None:
    """In its own words."""
    refused = refusal(mineru_itself)

    assert refused.rejection is Rejection.WORKER_CRASHED
    assert "PDFium" in refused.evidence
    assert list(scratch.iterdir()) == []
