"""What Dagster's definitions bring with them when they are imported, which every run, worker and command does."""

import importlib
import subprocess
import sys

import pytest

HEAVY = (
    *("boto3", "botocore", "cv2", "datasets", "httpx2", "huggingface_hub", "jinja2", "lxml", "matplotlib"),
    *("minicons", "mlcroissant", "numpy", "onnxruntime", "open_clip", "openai", "pandas", "PIL", "psutil"),
    *("pyarrow", "pylatexenc", "pypdfium2", "rapidocr", "resvg_py", "scipy", "tokenizers", "torch"),
    *("transformers", "vllm"),
)
"""Each takes a tenth of a second or more, or stands for what does; polars declares the tables."""
FRONT_DOORS = (
    "extraction",
    "extraction.pdf",
    "extraction.raster",
    "filtering",
    "metrics",
    "recaptioning",
    "release",
)


def test_definitions_leave_heavy_libraries_to_those_who_use_them() -> None:
    """After the definitions are imported in a fresh process, none of these libraries is there."""
    program = "import sys, s1mm_assets.definitions; print(*{name.split('.')[0] for name in sys.modules})"

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert "dagster" in done.stdout.split()
    assert sorted(set(HEAVY) & set(done.stdout.split())) == []


@pytest.mark.parametrize("package", FRONT_DOORS)
def test_a_package_gives_all_that_it_offers(package: str) -> None:
    """Every name that a package offers is there when it is asked for, and is no module."""
    door = importlib.import_module(f"s1mm_assets.{package}")

    offered = {name: getattr(door, name) for name in door.__all__}

    assert not [name for name, found in offered.items() if type(found) is type(sys)]


def test_a_name_that_no_module_offers_is_an_attribute_error() -> None:
    """Asking a package for what it does not offer says so, as any module does."""
    from s1mm_assets import extraction

    with pytest.raises(AttributeError, match=r"module 's1mm_assets\.extraction' has no attribute 'Nothing'"):
        _ = extraction.Nothing  # type: ignore[attr-defined]
