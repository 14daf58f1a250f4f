"""One control plane and one kubelet for all tests of this folder; each test has a namespace of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets_tests.conftest import ROOT, SHIM
from s1mm_assets_tests.k8s.cluster import PROGRAMS, Cluster, control_plane
from s1mm_assets_tests.k8s.installation import Installation, manifests
from s1mm_assets_tests.k8s.kubelet import Kubelet

Install = Callable[..., Installation]
ONE_PAPER_PER_CHUNK = """
import sys
from pathlib import Path
import pack
papers = [paper for paper in pack.papers() if paper["source"] == "arxiv"]
pack.pack_arxiv([{**paper, "chunk": i} for i, paper in enumerate(papers, 1)], Path(sys.argv[1]))
"""


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the control plane's programs."""
    folder = Path(os.environ.get("S1MM_K8S_PROGRAMS", ROOT / ".venv-k8s" / "bin"))
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if missing:
        pytest.fail(f"{folder} lacks {', '.join(missing)}: `make test-k8s` builds them first", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def cluster(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running control plane without nodes, with the priorities of deploy/."""
    with control_plane(programs, tmp_path_factory.mktemp("control-plane")) as cluster:
        for manifest in manifests("limits.yaml"):
            if manifest["kind"] == "PriorityClass":
                cluster.admin.create("/apis/scheduling.k8s.io/v1/priorityclasses", manifest)
        yield cluster


@pytest.fixture(scope="session")
def kubelet(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """Two nodes, one of them with H100s."""
    image = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{SHIM}",
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LANG": "C.UTF-8",
    }
    kubelet = Kubelet(cluster.admin, tmp_path_factory.mktemp("kubelet"), image)
    kubelet.start()
    yield kubelet
    kubelet.stop()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example papers as arXiv delivers them, but for small chunks: there are several shards in a year."""
    folder = tmp_path_factory.mktemp("sources")
    command = [sys.executable, "-c", ONE_PAPER_PER_CHUNK, str(folder / "arxiv")]
    subprocess.run(command, cwd=ROOT / "examples", check=True, timeout=300)
    return folder


@pytest.fixture
def install(
    cluster: Cluster, kubelet: Kubelet, sources: Path, request: pytest.FixtureRequest
) -> Iterator[Install]:
    """Make an installation in a namespace named after the test; its pods end with the test."""
    made: list[Installation] = []

    def make(settings: str = "", instance: dict[str, Any] | None = None, **variables: str) -> Installation:
        name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")[:63].strip("-")
        installation = Installation(cluster, kubelet, name, sources, variables)
        installation.install(settings, instance or {})
        made.append(installation)
        return installation

    yield make
    for installation in made:
        cluster.admin.delete(f"/api/v1/namespaces/{installation.namespace}")
