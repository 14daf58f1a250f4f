"""Masked language models of this installation: finds, loads and runs them with torch and transformers.

Belongs here: which weights, on which device, in which precision, and how to compute no more of the model than the
masked positions need. Does not: what is made of its log probabilities (`metrics.pseudo_perplexity`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from s1mm_assets.metrics.pseudo_perplexity import MaskedBatch

DEFAULT_MODEL = "allenai/scibert_scivocab_uncased"
INSTALL = "`pip install 's1mm-assets[models]'` installs torch and transformers"
PRECISIONS = ("auto", "float32", "float16", "bfloat16")
BATCH_TOKENS = {"cpu": 512, "cuda": 65_536}  # a CPU has caches to fit, and threads to share evenly among
SOFTMAX_ROWS = 512  # of logits that are made float32 at a time
PROBE_TOLERANCE = 1e-3  # nats, between a model's own answer and ours, both in float32
MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")


class ModelMissingError(RuntimeError):
    """There is no such model here, or nothing to run it with; the message says what to do."""


class ModelUnusableError(RuntimeError):
    """The model is there but cannot score masked tokens; the message says why."""


class MaskedLanguageModels(dg.ConfigurableResource[Any]):
    """Where masked language models run, and in which precision."""

    device: str = "auto"  # auto (the first GPU, else the CPU), cpu, cuda, cuda:1 …
    precision: str = "auto"  # auto (half on a GPU, else single), float32, float16, bfloat16

    def model(self, name: str = DEFAULT_MODEL, revision: str | None = None) -> MaskedLanguageModel:
        """Return a model that is loaded when it is first used, once per process.

        The environment variable HF_HUB_OFFLINE=1 keeps it from asking the Hub: what was fetched before is used.

        Args:
            name: A folder, or a repository of the Hugging Face Hub.
            revision: Of a repository: a branch, tag or commit. None is its main branch.

        Raises:
            ModelMissingError: torch or transformers is missing, or the model cannot be had.
            ModelUnusableError: There is no such device or precision.
        """
        device = device_of(self.device)
        precision = precision_of(self.precision, device)
        if name and Path(name).is_dir():
            return MaskedLanguageModel(name, f"sha256:{digest_of(Path(name))}", device, precision)
        return MaskedLanguageModel(name, commit_of(name, revision), device, precision)


@dataclass(frozen=True)
class MaskedLanguageModel:
    """`MaskedModel` that runs on torch. Pickles without its weights."""

    name: str
    revision: str  # a commit, or the digest of a folder
    device: str
    precision: str

    @property
    def component(self) -> str:
        """Name, revision and precision, and whose tokenizer. A folder goes by its digest alone, wherever it lies."""
        is_folder = self.revision.startswith("sha256:")
        libraries = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("transformers", "tokenizers")
        )
        return f"{'' if is_folder else f'{self.name}@'}{self.revision} {self.precision}, {libraries}"

    @property
    def window(self) -> int:
        """Most tokens in a row, special ones included."""
        return self._loaded.window

    @property
    def prefix(self) -> tuple[int, ...]:
        """Special tokens before a row's text."""
        return self._loaded.prefix

    @property
    def suffix(self) -> tuple[int, ...]:
        """Special tokens after it."""
        return self._loaded.suffix

    @property
    def mask_id(self) -> int:
        """The token that hides another."""
        return int(self._loaded.tokenizer.mask_token_id)

    @property
    def pad_id(self) -> int:
        """The token that fills up short rows."""
        return int(self._loaded.tokenizer.pad_token_id)

    @property
    def batch_tokens(self) -> int:
        """So many tokens at a time keep the device busy."""
        return BATCH_TOKENS[self.device.partition(":")[0]]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text. A special token that is written in a text is plain text."""
        if not texts:
            return []
        ids: list[list[int]] = self._loaded.tokenizer(
            [_without_lone_surrogates(text) for text in texts],
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return ids

    def log_probabilities(self, batches: Iterable[MaskedBatch]) -> Iterator[NDArray[np.float32]]:
        """Yield for each batch the log probability of each row's target at its masked position: shape (n_rows,).

        On a CPU each thread that torch may use computes a batch of its own, so that none waits for the others within
        a layer, and results do not depend on how many there are. On a GPU the next batch is made meanwhile.
        """
        import torch

        network, n_threads = self._loaded.network, torch.get_num_threads()
        n_workers, n_threads_each = (n_threads, 1) if self.device == "cpu" else (1, n_threads)
        start = partial(torch.set_num_threads, n_threads_each)
        under_way: deque[Future[NDArray[np.float32]]] = deque()
        with ThreadPoolExecutor(n_workers, "masked-lm", start) as pool:
            try:
                for batch in batches:
                    under_way.append(pool.submit(network, batch))
                    if len(under_way) > n_workers:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()
                torch.set_num_threads(n_threads)  # threads that others start take what was set last

    @cached_property
    def _loaded(self) -> _Loaded:
        with _LOADING:
            if self not in _LOADED:
                _LOADED[self] = _load(self)
            return _LOADED[self]

    def __getstate__(self) -> dict[str, str]:
        """Leave the weights behind: another process loads its own."""
        return {name: value for name, value in vars(self).items() if name != "_loaded"}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A tokenizer and a network that belong together."""

    tokenizer: Any
    network: _Network
    window: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


_LOADING = threading.Lock()
_LOADED: dict[MaskedLanguageModel, _Loaded] = {}


class _UnderWay(threading.local):
    """What the layers that were changed must know of the batch that this thread computes; None: be as you were."""

    positions: Any = None  # one in each row
    repeats: tuple[Any, Any] | None = None  # tokens that are new at their place; which of these each token is


class _Network:
    """A masked language model that leaves out what masked positions do not need, and changes no answer by it.

    Of every model it computes the head at masked positions alone. Of those built like BERT it computes the last layer
    there alone too, and on a CPU what the first layer projects only once for all rows that share a token at a place:
    those of one text differ in two.
    """

    def __init__(self, model: Any) -> None:
        """Take over a model in single precision on the CPU, and change it so.

        Raises:
            ModelUnusableError: Its answer at a position depends on more than what its encoder says there.
        """
        for weight in model.parameters():
            weight.data = weight.data.clone()  # rounding must not depend on where in its file a weight lies
        self._model = model
        self.under_way = _UnderWay()
        expected = self._probed()
        layers = _layers(model)
        if layers:
            attention = layers[0].attention.self
            projections = (attention.query, attention.key, attention.value)
            layers[-1].forward = partial(_one_query, layers[-1], self)
            for projection in projections:
                projection.forward = partial(_shared, projection, self)
            if self._agrees(expected):
                return
            for part in (layers[-1], *projections):
                del part.forward
        model.base_model.register_forward_hook(self._selected)
        if not self._agrees(expected):
            raise ModelUnusableError(
                f"{type(model).__name__} is no model whose head sees one position at a time"
            )

    def to(self, device: str, precision: str) -> None:
        """Move to where batches are scored, in the precision in which they are."""
        import torch

        self._model.to(device=device, dtype=getattr(torch, precision))

    def __call__(self, batch: MaskedBatch) -> NDArray[np.float32]:
        """Return the log probability of each row's target at its masked position; softmax is in single precision."""
        import torch

        with torch.inference_mode():
            logits = self._logits(batch.ids, batch.lengths, batch.positions)
            targets = torch.from_numpy(batch.targets).to(logits.device)
            logs = [
                rows.float().log_softmax(-1).gather(-1, of_rows[:, None])[:, 0]
                for rows, of_rows in zip(
                    torch.split(logits, SOFTMAX_ROWS), torch.split(targets, SOFTMAX_ROWS), strict=True
                )
            ]
            found: NDArray[np.float32] = torch.cat(logs).cpu().numpy()
            return found

    def _logits(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> Any:
        """Return logits of shape (n_rows, n_vocabulary): at one position of each row."""
        import numpy as np
        import torch

        device, width = self._model.device, ids.shape[1]
        is_padded = bool(lengths.min() < width)
        mask = torch.from_numpy(np.arange(width) < lengths[:, None]).to(device).long() if is_padded else None
        self.under_way.positions = torch.from_numpy(positions).to(device)
        self.under_way.repeats = _repeats(ids) if device.type == "cpu" else None  # a GPU would wait for it
        try:
            return self._model(input_ids=torch.from_numpy(ids).to(device), attention_mask=mask).logits[:, 0]
        finally:
            self.under_way.positions = self.under_way.repeats = None

    def _selected(self, _module: Any, _args: Any, output: Any) -> Any:
        """Keep what the encoder says at the masked positions; a hook."""
        if self.under_way.positions is not None:
            output.last_hidden_state = _at(output.last_hidden_state, self.under_way.positions)
        return output

    def _probed(self) -> Any:
        """Return the model's own logits of the probe, from its whole forward pass."""
        import numpy as np
        import torch

        ids, lengths, positions = _probe(self._model.config)
        mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            logits = self._model(input_ids=torch.from_numpy(ids), attention_mask=mask).logits
            return _at(logits, torch.from_numpy(positions))[:, 0]

    def _agrees(self, expected: Any) -> bool:
        """Return whether the probe's logits are those expected: all rows at once, and one that needs no padding."""
        import torch

        ids, lengths, positions = _probe(self._model.config)
        with torch.inference_mode():
            together = self._logits(ids, lengths, positions)
            alone = self._logits(ids[:1], lengths[:1], positions[:1])
        return all(
            found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=PROBE_TOLERANCE)
            for found, wanted in ((together, expected), (alone, expected[:1]))
        )


def _probe(config: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of arbitrary tokens that differ in two each, how many of each count, and where to look."""
    import numpy as np

    n_rows, width = 3, 24
    some = np.random.default_rng(0).integers(0, config.vocab_size, width + n_rows)
    some[some == config.pad_token_id] = (config.pad_token_id or 0) + 1
    positions = np.array([11, 16, 0])
    ids = np.tile(some[:width], (n_rows, 1))
    ids[np.arange(n_rows), positions] = some[width:]
    return ids, np.array([width, 17, 3]), positions


def _repeats(ids: NDArray[np.int64]) -> tuple[Any, Any] | None:
    """Return which tokens are new at their place in the row, and for each token which of these it is.

    None where that would save less than half of the work.
    """
    import numpy as np
    import torch

    width = ids.shape[1]
    _, first, which = np.unique(ids * width + np.arange(width), return_index=True, return_inverse=True)
    return (torch.from_numpy(first), torch.from_numpy(which.ravel())) if 2 * len(first) <= ids.size else None


def _at(values: Any, positions: Any) -> Any:
    """Return, of shape (n_rows, 1, …), each row's value at its position."""
    import torch

    return values[torch.arange(len(values), device=values.device), positions].unsqueeze(1)


def _layers(model: Any) -> Any:
    """Return the encoder's layers if they are built as BERT's and RoBERTa's are; else nothing."""
    layers: Any = getattr(getattr(model.base_model, "encoder", None), "layer", ())
    names = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output")
    try:
        for name in (*names, "intermediate", "output"):
            layers[0].get_submodule(name)
        return layers
    except (AttributeError, IndexError, TypeError):
        return ()


def _shared(projection: Any, network: _Network, hidden: Any) -> Any:
    """Return what the first layer projects, computed once per token and place."""
    forward = type(projection).forward
    if network.under_way.repeats is None:
        return forward(projection, hidden)
    first, which = network.under_way.repeats
    return forward(projection, hidden.flatten(0, 1)[first])[which].unflatten(0, hidden.shape[:2])


def _one_query(
    layer: Any, network: _Network, hidden: Any, attention_mask: Any = None, *args: Any, **keywords: Any
) -> Any:
    """Return what an encoder layer makes of each row's masked position alone.

    One query needs no keys: q · (W h) is (Wᵀ q) · h, for each head; the keys' bias adds the same to all and cancels.
    Nor does it need values: the heads' shares of W h are W times their shares of h. A layer that computes something
    else is found out by the probe.
    """
    from torch import einsum
    from torch.nn.functional import scaled_dot_product_attention

    if network.under_way.positions is None:
        return type(layer).forward(layer, hidden, attention_mask, *args, **keywords)
    attention = layer.attention.self
    by_head = (attention.num_attention_heads, -1)
    masked = _at(hidden, network.under_way.positions)
    query = attention.query(masked).unflatten(-1, by_head)
    asked = einsum("bqhd,hde->bqhe", query, attention.key.weight.unflatten(0, by_head))
    heard = scaled_dot_product_attention(  # the heads stand where the queries of one head would
        asked,
        hidden.unsqueeze(1),
        hidden.unsqueeze(1),
        attn_mask=None if attention_mask is None else attention_mask[:, :1, :1],
        scale=query.shape[-1] ** -0.5,
    )
    seen = einsum("bqhe,hde->bqhd", heard, attention.value.weight.unflatten(0, by_head)).flatten(2)
    attended = layer.attention.output(seen + attention.value.bias, masked)
    return layer.output(layer.intermediate(attended), attended)


def _load(wanted: MaskedLanguageModel) -> _Loaded:
    """Load tokenizer and weights; never runs code that comes with them.

    Raises:
        ModelUnusableError: They cannot be read, or are not of a masked language model with its tokenizer.
    """
    transformers = _import("transformers")
    is_folder = wanted.revision.startswith("sha256:")
    source = {"revision": None if is_folder else wanted.revision, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(wanted.name, **source)
            model, report = transformers.AutoModelForMaskedLM.from_pretrained(
                wanted.name, **source, dtype="float32", weights_only=True, output_loading_info=True
            )
    except Exception as error:  # whatever lies in the files: no other kind of failure is left here
        raise ModelUnusableError(f"model {wanted.name} cannot be loaded: {_first_line(error)}") from error
    fault = _fault_of(model, tokenizer, [*report["missing_keys"], *report["mismatched_keys"]])
    if fault:
        raise ModelUnusableError(f"model {wanted.name} cannot score masked tokens: {fault}")
    prefix, suffix = _special_tokens(tokenizer)
    network = _Network(model.eval())
    network.to(wanted.device, wanted.precision)
    return _Loaded(tokenizer, network, _window(model, tokenizer), prefix, suffix)


def _fault_of(model: Any, tokenizer: Any, unread: Sequence[Any]) -> str | None:
    """Return what keeps a model from scoring; transformers itself fills gaps with random numbers and goes on."""
    if unread:
        examples = ", ".join(sorted(str(each) for each in unread)[:3])
        return f"{len(unread)} of its weights are not in its files ({examples} …); is it without its head?"
    if tokenizer.mask_token_id is None or tokenizer.pad_token_id is None:
        return "its tokenizer has no mask or no padding token"
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        return "its tokenizer has no vocabulary (vocab.txt or tokenizer.json is missing)"
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        return f"its tokenizer has {len(tokenizer)} tokens, more than the model knows"
    n_special = sum(map(len, _special_tokens(tokenizer)))
    if _window(model, tokenizer) <= n_special:
        return "its window holds no token"
    return None


def _special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what a tokenizer puts before and after a text."""
    without = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    first = next(i for i in range(len(whole)) if whole[i : i + len(without)] == without)
    return tuple(whole[:first]), tuple(whole[first + len(without) :])


def _window(model: Any, tokenizer: Any) -> int:
    """Return how many tokens a row may have: as many as there are positions, `WINDOW` at most."""
    from s1mm_assets.metrics.pseudo_perplexity import WINDOW

    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa counts positions from past the padding token
    n_unused = 0 if padding is None else padding + 1
    n_positions = getattr(model.config, "max_position_embeddings", WINDOW) - n_unused
    return int(min(WINDOW, tokenizer.model_max_length, n_positions))


def device_of(name: str) -> str:
    """Return the device that a setting names.

    Raises:
        ModelMissingError: torch is not installed.
        ModelUnusableError: There is no such device.
    """
    torch = _import("torch")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is not None and device.type == "cpu":
        return "cpu"
    if device is None or device.type != "cuda":
        raise ModelUnusableError(f"there is no device {name!r}; there are: auto, cpu, cuda, cuda:0 …")
    if (device.index or 0) >= torch.cuda.device_count():
        n_gpus = torch.cuda.device_count()
        raise ModelUnusableError(
            f"device {name!r} is not there: torch sees {n_gpus} GPUs; set device to auto or cpu"
        )
    return name


def precision_of(name: str, device: str) -> str:
    """Return the precision that a setting names.

    Raises:
        ModelUnusableError: There is no such precision.
    """
    if name not in PRECISIONS:
        raise ModelUnusableError(f"there is no precision {name!r}; there are: {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    return "float32" if device == "cpu" else "float16"  # of the two halves the one with more digits


def commit_of(name: str, revision: str | None) -> str:
    """Return the commit of a repository of the Hub; its cache answers where the Hub does not.

    Raises:
        ModelMissingError: It is neither a folder nor to be had of the Hub.
    """
    hub = _import("huggingface_hub")
    try:
        config = Path(hub.hf_hub_download(name, "config.json", revision=revision))
    except (OSError, ValueError) as error:
        at = f" at {revision}" if revision else ""
        raise ModelMissingError(
            f"model {name}{at} is no folder, and the Hub does not give it: {_first_line(error)} Name another model, or "
            f"fetch it where there is a network: `hf download {name}`"
        ) from error
    return config.parent.name


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a folder's weights, configuration and tokenizer: names and bytes."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        digest.update(f"{path.name}\0{content.hexdigest()}\n".encode())
    return digest.hexdigest()


def _import(name: str) -> Any:
    """Import a library of the extra `models`.

    Raises:
        ModelMissingError: It is not installed, or does not work.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelMissingError(
            f"masked language models need {name}, which cannot be imported ({_first_line(error)}): {INSTALL}"
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep what transformers says about loading off the terminal: what matters of it is raised."""
    logging = transformers.utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _without_lone_surrogates(text: str) -> str:
    """Return a text that can be encoded: U+FFFD for each half of a character that lacks the other."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
