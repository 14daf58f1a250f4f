"""Which vLLM servers to start on this machine, on which of its GPUs, and with which arguments."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass


class ServerStartError(Exception):
    """Servers of our own did not start; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """Which servers to start. What of it shapes their answers comes from `RecaptionSettings`, the rest does not."""

    command: tuple[str, ...] = ("vllm", "serve")  # takes the model as its first argument
    model: str
    revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None  # such as fp8; None: as the model is stored
    tensor_parallel: int = 1  # GPUs per server
    replicas: int = 0  # servers; 0: as many as the GPUs allow
    max_model_len: int = 8_192  # tokens of a request and its answer
    gpu_memory_utilization: float = 0.92
    extra_arguments: tuple[str, ...] = ()
    start_timeout_s: float = 1_800.0
    max_restarts: int = 10  # of one server within an hour

    def gpu_groups(self) -> list[tuple[str, ...]]:
        """Return the GPUs of each server; empty groups on a machine that has none. ServerStartError if too few."""
        gpus = visible_gpus()
        if not gpus:
            return [()] * (self.replicas or 1)
        n_groups = self.replicas or len(gpus) // self.tensor_parallel
        if not 0 < n_groups * self.tensor_parallel <= len(gpus):
            wanted = f"{n_groups or 1} servers with {self.tensor_parallel} GPUs each"
            raise ServerStartError(
                f"{wanted} were asked for; this machine shows {len(gpus)}: {', '.join(gpus)}"
            )
        starts = range(0, n_groups * self.tensor_parallel, self.tensor_parallel)
        return [gpus[start : start + self.tensor_parallel] for start in starts]

    def command_line(self, port: int) -> list[str]:
        """Return the program and arguments of one server; every request then stands on its own.

        Nothing is taken from the model's generation_config.json, figures are unique, so processed images are
        not kept, and each answer says how many of its tokens came from the prefix cache.
        """
        revision = (
            ["--revision", self.revision, "--tokenizer-revision", self.revision] if self.revision else []
        )
        return [
            *self.command,
            self.model,
            *("--served-model-name", self.model),
            *revision,
            *("--dtype", self.dtype),
            *(("--quantization", self.quantization) if self.quantization else ()),
            *("--tensor-parallel-size", str(self.tensor_parallel)),
            *("--max-model-len", str(self.max_model_len)),
            *("--gpu-memory-utilization", str(self.gpu_memory_utilization)),
            *("--limit-mm-per-prompt", '{"image": 1, "video": 0}'),
            *("--mm-processor-cache-gb", "0"),
            *("--generation-config", "vllm"),
            "--async-scheduling",
            "--enable-prefix-caching",
            "--enable-prompt-tokens-details",
            "--no-enable-log-requests",
            "--disable-uvicorn-access-log",  # a line per figure would fill the disk
            *("--host", "127.0.0.1", "--port", str(port)),
            *self.extra_arguments,
        ]


def visible_gpus() -> tuple[str, ...]:
    """Return this process's GPUs as CUDA_VISIBLE_DEVICES names them; none where there are none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)  # noqa: S607
    return tuple(re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)) if listed.returncode == 0 else ()
