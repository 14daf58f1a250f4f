"""Which engine writes the recaptions: the one that the settings name, never another."""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import dagster as dg
from pydantic import Field

from s1mm_assets.recaptioning import Captioner, RecaptionSettings
from s1mm_assets.resources.settings import Settings, SettingsError, VllmSettings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.stages import MapItems

if TYPE_CHECKING:
    from s1mm_assets.resources.captioners.service import Service

PROMPT_TOKENS = 600  # of a template's own words, about
HOST = re.compile(
    r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+"
)  # a name, an address of IPv4 or, between brackets, of IPv6


def server_addresses(text: str) -> list[str]:
    """Return the addresses that S1MM_VLLM_URLS holds, between blanks or commas, without `/v1`; each once.

    Raises:
        SettingsError: One is no address of a server; the message says what to write, and repeats no password.
    """
    return list(dict.fromkeys(_address(word) for word in text.replace(",", " ").split()))


def _address(word: str) -> str:
    try:
        found = urlsplit(word)
        is_server = (
            found.scheme in ("http", "https") and HOST.fullmatch(found.hostname or "") and found.port != 0
        )
    except ValueError:  # of a port that is no number, or half a bracket
        found, is_server = SplitResult("", "", "", "", ""), None
    shown = re.sub(r"[^/]*@", "…@", word.partition("?")[0])
    if "@" in word or "?" in word or "#" in word:
        raise SettingsError(
            f"S1MM_VLLM_URLS holds {shown} with a name, password or query: write the address alone, such as "
            "http://10.0.0.1:8000, and the key into S1MM_VLLM_API_KEY"
        )
    if not is_server:
        raise SettingsError(
            f"S1MM_VLLM_URLS holds {shown}, which is no address: write http://10.0.0.1:8000 or https://host/path, "
            "several between blanks"
        )
    path = found.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{found.scheme}://{found.netloc}{path}"


class VllmServers(dg.ConfigurableResource[Any]):
    """Where the vLLM servers of this machine are, or what starts our own; the rest is in the settings file."""

    urls: list[str] = Field(default_factory=list, description="running servers; none: start our own")
    api_key: str = Field(default="", description="of the running servers")
    gpus: int = Field(default=0, ge=0, description="GPUs behind the addresses, for the bill; 0: not known")
    command: list[str] = Field(default=["vllm", "serve"], min_length=1, description="starts one of our own")

    def missing(self) -> list[str]:
        """Return what to say where there are neither addresses nor a command that starts servers."""
        if self.urls or shutil.which(self.command[0]):
            return []
        return [
            f"{self.command[0]} is not there, and S1MM_VLLM_URLS names no servers: only answers that are in the log "
            "become recaptions. Install the extra vllm, or name servers; the next `s1mm build` goes on from there"
        ]

    def service(self, recaptioning: RecaptionSettings, vllm: VllmSettings, log: logging.Logger) -> "Service":
        """Return the servers that hold a model; nothing is started yet."""
        from s1mm_assets.resources.captioners.chat_servers import Patience
        from s1mm_assets.resources.captioners.own_servers import ServerPlan
        from s1mm_assets.resources.captioners.service import Service

        plan = ServerPlan(
            command=tuple(self.command),
            model=recaptioning.model,
            revision=recaptioning.model_revision,
            dtype=recaptioning.dtype,
            quantization=recaptioning.quantization or None,
            extra_arguments=recaptioning.server_arguments,
            tensor_parallel=vllm.tensor_parallel,
            max_model_len=vllm.max_model_len,
            gpu_memory_utilization=vllm.gpu_memory_utilization,
            start_timeout_s=vllm.start_timeout_s,
            max_restarts=vllm.max_restarts,
        )
        return Service(
            model=recaptioning.model,
            urls=self.urls,
            api_key=self.api_key,
            plan=None if self.urls else plan,
            in_flight_per_server=vllm.in_flight_per_server,
            n_tokens=PROMPT_TOKENS
            + recaptioning.window_tokens
            + recaptioning.max_image_tokens
            + recaptioning.max_answer_tokens,
            n_gpus=self.gpus or None,
            patience=Patience(request_timeout_s=vllm.request_timeout_s, outage_after_s=vllm.outage_after_s),
            log=log,
        )


class Captioners(dg.ConfigurableResource[Any]):
    """The recaption engines of this installation."""

    settings: dg.ResourceDependency[Settings]
    servers: dg.ResourceDependency[VllmServers]

    @contextmanager
    def opened(self, store: ShardStore, map_items: MapItems, log: logging.Logger) -> Iterator[Captioner]:
        """Give the engine that `recaptioning.engine` names, with its servers until the end of the block."""
        settings = self.settings.recaptioning
        if settings.engine == "context":
            from s1mm_assets.recaptioning import ContextCaptioner

            yield ContextCaptioner()
            return
        from s1mm_assets.resources.captioners.vllm import VllmCaptioner

        with self.servers.service(settings, self.settings.vllm, log) as service:
            yield VllmCaptioner(settings, store=store, service=service, map_items=map_items, log=log)
