"""CLIP models through open_clip: found, loaded once per process, and run on images and texts.

What the numbers mean is in `metrics.clip_score`. torch and open_clip come with the extra `models`; they are
imported where they are used, since that takes seconds.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from s1mm_assets.resources.machine import usable_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from s1mm_assets.metrics.clip_score import Embeddings, Missing

INSTALL = "install the extra: pip install 's1mm-assets[models]'"

LARGE_PIXELS = 16_000_000
"""Larger images are decoded one at a time: many at once would take gigabytes."""

MAX_SCALED_PIXELS = 16_000_000
"""An image is scaled until its shorter side is the model's: of a thin line that would be gigabytes."""

MAX_WORD_CHARS = 300
"""Byte-pair encoding takes time as the square of a word's length; what is longer is cut, and is no word."""

WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""What repositories of the Hub call them; open_clip prefers them in this order too."""

BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model")
"""The configuration, and tokenizers of every kind."""

CACHED_WORDS = 200_000  # what open_clip's own tokenizer remembers grows with every new word


class ClipUnavailableError(Exception):
    """A model cannot be loaded here. One line, which says what to do."""


class ClipEncoders(dg.ConfigurableResource[Any]):
    """Where CLIP models run."""

    device: str = "auto"  # auto: a CUDA GPU where there is one, else the CPU; or as torch names it: cuda:1
    decode_threads: int = 0  # 0: as many as cores may be used
    batch_rows: int = 64  # images, or windows of text, that the model takes at once

    def encoder(self, model: str, pretrained: str = "", revision: str = "") -> ClipEncoder:
        """Return a model, loaded at the first call of this process.

        Args:
            model: As open_clip names it, "hf-hub:ORGANISATION/NAME", or "local-dir:FOLDER".
            pretrained: Of a model that open_clip names, its weights' tag, or a file.
            revision: Of a model on the Hub, a commit, tag or branch.

        Raises:
            ClipUnavailableError: A library, the device or the weights are missing or broken.
        """
        device = _device(self.device)
        key = (model, pretrained, revision, device, self.decode_threads, self.batch_rows)
        with _LOADING:
            if key not in _LOADED:
                checkpoint = _checkpoint(model, pretrained, revision)
                n_threads = self.decode_threads or usable_cores()
                with _in_one_line(model):
                    _LOADED[key] = ClipEncoder(checkpoint, device, n_threads, self.batch_rows)
            return _LOADED[key]

    def component(self, model: str, pretrained: str = "", revision: str = "") -> str:
        """Return what `encoder(…).component` would say, without loading the weights; raises as it does."""
        return _checkpoint(model, pretrained, revision).component(_device(self.device), self.batch_rows)


_LOADING = threading.Lock()
_LOADED: dict[tuple[str, str, str, str, int, int], ClipEncoder] = {}


# Finding a model ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model whose files lie on this machine."""

    name: str  # as open_clip is to load it
    pretrained: str | None  # likewise
    title: str  # as a report shows it: without this machine's paths
    sha256: str  # of weights, configuration and tokenizer

    def component(self, device: str, batch_rows: int) -> str:
        """Return what gives the numbers their values: libraries, weights, precision, and what is summed at once."""
        import PIL

        version = _library("open_clip").__version__
        return (
            f"open_clip {version}, Pillow {PIL.__version__}: {self.title} "
            f"(sha256 {self.sha256[:16]}, {_precision(device)}, {batch_rows} rows at once)"
        )


def _checkpoint(model: str, pretrained: str, revision: str) -> Checkpoint:
    schema, _, place = model.partition(":")
    if schema in ("local-dir", "hf-hub") and pretrained:
        raise ClipUnavailableError(
            f'{model} brings its own weights: set clip_weights = "" under [metrics] (it is {pretrained!r})'
        )
    if schema != "hf-hub" and revision:
        raise ClipUnavailableError(
            f"{model} is not on the Hub, so it has no revision {revision}: leave it empty, or name it hf-hub:…"
        )
    with _in_one_line(model):
        match schema:
            case "local-dir":
                return _in_folder(Path(place), model)
            case "hf-hub":
                folder = _downloaded(place, revision)
                return _in_folder(folder, f"{model}@{folder.name}")
        return _named(model, pretrained)


def _in_folder(folder: Path, title: str) -> Checkpoint:
    """Return the model in a folder as `open_clip.push_to_hf_hub` writes it."""
    if not (folder / "open_clip_config.json").is_file():
        raise ClipUnavailableError(f"{folder} is no folder of an open_clip model: no open_clip_config.json")
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise ClipUnavailableError(f"{folder} holds no weights: one of {', '.join(WEIGHTS)} has to be there")
    beside = {file for pattern in BESIDE_WEIGHTS for file in folder.glob(pattern) if file.is_file()}
    lines = [f"{file.name} {_sha256(file)}\n" for file in sorted({weights, *beside})]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    shown = f"local-dir:{folder.resolve().name}" if title.startswith("local-dir:") else title
    return Checkpoint(f"local-dir:{folder}", None, shown, digest)


def _downloaded(repository: str, revision: str) -> Path:
    """Return the folder of a repository's commit, from the Hub or, offline, from its cache."""
    hub, errors = _library("huggingface_hub"), _library("huggingface_hub.errors")
    folder = Path(
        hub.snapshot_download(repository, revision=revision or None, allow_patterns=list(BESIDE_WEIGHTS))
    )
    for name in WEIGHTS:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=folder.name)).parent
        except errors.EntryNotFoundError:  # offline too
            continue
    raise ClipUnavailableError(
        f"hf-hub:{repository} has no weights that open_clip reads, or they are not in this machine's cache: "
        f"`hf download {repository}` fetches them"
    )


def _named(model: str, pretrained: str) -> Checkpoint:
    """Return a model that open_clip knows by name."""
    open_clip = _library("open_clip")
    config = open_clip.get_model_config(model)
    if config is None:
        raise ClipUnavailableError(
            f"open_clip knows no model {model!r}: it lists {len(open_clip.list_models())} by "
            "`python -c 'import open_clip; print(open_clip.list_models())'`; or name hf-hub:… or local-dir:…"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags and not Path(pretrained).is_file():
        raise ClipUnavailableError(
            f"{model} has no weights {pretrained!r}, and would be random: {', '.join(tags) or 'no tag'} or a file"
        )
    if pretrained not in tags:
        title = f"{model}, {Path(pretrained).name}"
        return Checkpoint(model, pretrained, title, _sha256(Path(pretrained)))
    settings = open_clip.get_pretrained_cfg(model, pretrained)
    if bool(settings.get("quick_gelu")) != bool(config.get("quick_gelu")):
        raise ClipUnavailableError(
            f"{pretrained} of {model} was trained with another activation: name the model "
            f"{model.removesuffix('-quickgelu') if config.get('quick_gelu') else model + '-quickgelu'}"
        )
    weights = open_clip.download_pretrained(settings)
    return Checkpoint(model, pretrained, f"{model}, {pretrained}", _sha256(Path(weights)))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _device(name: str) -> str:
    """Return the device as torch names it."""
    torch = _library("torch")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
        torch.empty(1, device=name).item()  # "meta" has no values
    except Exception as error:  # each back end has its own
        raise ClipUnavailableError(
            f"device {name!r} cannot be used ({_first_line(error)}): auto, cpu, cuda or cuda:1"
        ) from error
    return "cpu" if kind == "cpu" else name


def _precision(device: str) -> str:
    return "float16" if device.startswith("cuda") else "float32"


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:  # of builds that do not fit each other, too
        raise ClipUnavailableError(f"CLIP needs {name} ({_first_line(error)}): {INSTALL}") from error


@contextmanager
def _in_one_line(model: str) -> Iterator[None]:
    """Say what went wrong with a model in one line, whichever of the libraries below found it."""
    try:
        yield
    except ClipUnavailableError:
        raise
    except Exception as error:
        raise ClipUnavailableError(
            f"{model} cannot be loaded ({_first_line(error)}): name another model, or fetch it again; "
            "without a network it has to be in this machine's cache"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]


# Running it ---------------------------------------------------------------------------------------------------


class ClipEncoder:
    """`metrics.clip_score.ImageTextEncoder` of one loaded model.

    On a GPU the model computes in half precision; embeddings are made unit vectors in single precision.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, decode_threads: int, batch_rows: int) -> None:
        open_clip = _library("open_clip")
        self._torch = _library("torch")
        precision = {"float16": "fp16", "float32": "fp32"}[_precision(device)]
        self.model, transform = open_clip.create_model_from_pretrained(
            checkpoint.name, checkpoint.pretrained, precision=precision, device=device, weights_only=True
        )
        self.model.eval()
        self.component = checkpoint.component(device, batch_rows)
        self.transform = transform
        self.tokenizer = open_clip.get_tokenizer(checkpoint.name)
        self.template = TokenTemplate.of(self.tokenizer)
        self._device, self._batch_rows = device, batch_rows
        # What follows a text's end cannot reach back through a causal mask: padding need not be computed.
        pooling = getattr(self.model, "text_pool_type", None)  # of a plain CLIP; other towers differ
        self._is_causal = pooling in ("argmax", "eos") and self.model.attn_mask is not None
        self._text_tower = _text_tower(self.model)
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="clip-decode")
        # The steps up to the array of pixels are Pillow's, and run in threads; the rest is one operation
        # on a whole batch, on the device.
        names = [type(step).__name__ for step in transform.transforms]
        at = names.index("MaybeToTensor")
        self.steps = tuple(transform.transforms[:at])
        self._normalize = self._torch.nn.Sequential(*transform.transforms[at + 1 :])
        size = self.model.visual.image_size
        self.side_px = max(size) if isinstance(size, tuple | list) else size

    @property
    def window_tokens(self) -> int:
        """How many tokens of a text the model sees at once, without those it adds."""
        return self.template.window_tokens

    @property
    def added_tokens(self) -> int:
        """How many tokens the model adds to each text: start and end."""
        return self.template.added_tokens

    def tokens(self, text: str) -> list[int]:
        """Return all tokens of a text; control tokens that it spells out are no part of it."""
        return content_tokens(self.tokenizer, text)

    def texts(self, windows: Sequence[Sequence[int]]) -> Embeddings:
        """Return shape (n_windows, dim), of unit length; each window has 1 to `window_tokens` tokens."""
        import numpy as np

        order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        embeddings: list[Embeddings] = []
        for chunk in self._chunks(order):
            longest = len(windows[chunk[-1]]) + self.added_tokens
            length = longest if self._is_causal else self.template.context
            tokens = self._torch.tensor([self.template.framed(windows[i], length) for i in chunk])
            embeddings.append(self._unit(self.encode_text, tokens.to(self._device)))
        together = np.concatenate(embeddings)
        return together[np.argsort(order)]

    def images(self, images: Sequence[bytes | None]) -> Callable[[], list[Embeddings | Missing]]:
        """Begin to decode; the call that is returned waits for it, and gives one unit vector each."""
        decode = partial(model_pixels, steps=self.steps, side_px=self.side_px)
        return partial(self._encoded, [self._pool.submit(decode, image) for image in images])

    def _encoded(self, decoding: Sequence[Any]) -> list[Embeddings | Missing]:
        from s1mm_assets.metrics.clip_score import Missing

        answers: list[Any] = []
        for chunk in self._chunks(decoding):
            pixels = [future.result() for future in chunk]
            sound = [each for each in pixels if not isinstance(each, Missing)]
            embeddings = iter(self._unit(self.model.encode_image, self.batch(sound)) if sound else ())
            answers += [each if isinstance(each, Missing) else next(embeddings) for each in pixels]
        return answers

    def batch(self, pixels: Sequence[NDArray[np.uint8]]) -> Any:
        """Return the model's input for images of its size: as the rest of its own transform makes it."""
        import numpy as np

        images = self._torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2).contiguous()
        return self._normalize(images.float().div(255)).to(self.input_dtype)

    @property
    def input_dtype(self) -> Any:
        """What the model wants pixels to be."""
        return getattr(self._torch, _precision(self._device))

    def encode_text(self, tokens: Any) -> Any:
        """Return the model's own `encode_text`; a causal model takes windows shorter than its context, too."""
        if not self._is_causal:
            return self.model.encode_text(tokens)
        length = tokens.shape[1]
        cut = {
            "model.positional_embedding": self.model.positional_embedding[:length],
            "model.attn_mask": self.model.attn_mask[:length, :length],
        }
        return self._torch.func.functional_call(self._text_tower, cut, (tokens,))

    def _unit(self, tower: Callable[[Any], Any], inputs: Any) -> Embeddings:
        with self._torch.inference_mode():
            embeddings = tower(inputs).float()
            # Of a vector of zeros, or that half precision could not hold, nothing finite comes.
            unit: Embeddings = (embeddings / embeddings.norm(dim=-1, keepdim=True)).cpu().numpy()
        return unit

    def _chunks(self, rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
        for start in range(0, len(rows), self._batch_rows):
            yield rows[start : start + self._batch_rows]


def _text_tower(model: Any) -> Any:
    """Return a module whose call is the model's own `encode_text`."""
    tower = _library("torch").nn.Module()
    tower.model = model
    tower.forward = model.encode_text
    return tower


@dataclass(frozen=True, slots=True)
class TokenTemplate:
    """How a tokenizer frames what it read: what it puts before and after, and what fills the rest."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    context: int  # tokens that the model sees at once, these included

    @classmethod
    def of(cls, tokenizer: Any) -> TokenTemplate:
        """Read the frame off what the tokenizer makes of a short and of a long text.

        Raises:
            ClipUnavailableError: It does not frame texts, so windows of one cannot be made.
        """
        short, long = "a figure", "a figure " * tokenizer.context_length
        content, context = content_tokens(tokenizer, long), tokenizer.context_length
        short_row, long_row = (row.tolist() for row in tokenizer([short, long]))
        for n_added, n_before in ((n, before) for n in range(6) for before in range(n + 1)):
            end = context - n_added + n_before
            if long_row[n_before:end] != content[: context - n_added]:
                continue
            frame = cls(tuple(long_row[:n_before]), tuple(long_row[end:]), short_row[-1], context)
            if frame.framed(content_tokens(tokenizer, short), context) == short_row:
                return frame
        raise ClipUnavailableError(
            f"windows of a text cannot be made with this model's tokenizer ({type(tokenizer).__name__}), "
            "which does more than put tokens before and after: name another model"
        )

    @property
    def added_tokens(self) -> int:
        """How many tokens are put before and after."""
        return len(self.before) + len(self.after)

    @property
    def window_tokens(self) -> int:
        """How many tokens of a text fit between them."""
        return self.context - self.added_tokens

    def framed(self, window: Sequence[int], length: int) -> list[int]:
        """Return the model's input for one window, filled up to a length in tokens."""
        row = [*self.before, *window, *self.after]
        return row + [self.padding] * (length - len(row))


def content_tokens(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a whole text, cleaned as the tokenizer does, with nothing put before or after.

    A text may spell out a control token, "<end_of_text>" say, which would end it for the model: these are left out.

    Raises:
        ClipUnavailableError: The tokenizer is of a kind that is not known here.
    """
    readable = re.sub(rf"(\S{{{MAX_WORD_CHARS}}})(?=\S)", r"\1 ", text)
    match type(tokenizer).__name__:
        case "SimpleTokenizer":
            tokens = tokenizer.encode(readable)
            control = set(tokenizer.all_special_ids)
            if len(tokenizer.cache) > CACHED_WORDS:
                tokenizer.cache = {
                    token: token for token in tokenizer.cache if tokenizer.encoder.get(token) in control
                }
        case "HFTokenizer":
            inner = tokenizer.tokenizer
            encoded = inner(tokenizer.clean_fn(readable), add_special_tokens=False, verbose=False)
            tokens = encoded.input_ids
            control = set(inner.all_special_ids) - {inner.unk_token_id}
        case other:
            raise ClipUnavailableError(
                f"texts cannot be cut with a tokenizer of kind {other}: name another model"
            )
    return [token for token in tokens if token not in control]


# Images -------------------------------------------------------------------------------------------------------


def model_pixels(
    image: bytes | None, *, steps: Sequence[Callable[[Image.Image], Image.Image]], side_px: int
) -> NDArray[np.uint8] | Missing:
    """Decode an image and bring it to the model's size; whatever the bytes are, they cost only their own row.

    Args:
        image: PNG or JPEG.
        steps: The model's own, of Pillow images.
        side_px: Of the model's input.

    Returns:
        Shape (height, width, 3).
    """
    from PIL import Image

    from s1mm_assets.decoding import MAX_PIXELS, ImageTooLargeError
    from s1mm_assets.metrics.clip_score import Missing

    if image is None:
        return Missing.IMAGE_UNREADABLE
    with _QUIET:
        try:
            with Image.open(BytesIO(image), formats=("PNG", "JPEG")) as header:
                width, height = header.size
            if width * height > MAX_PIXELS:
                return Missing.IMAGE_TOO_LARGE
            if side_px**2 * max(width, height) > MAX_SCALED_PIXELS * min(width, height):
                return Missing.EXTREME_ASPECT
            if width * height <= LARGE_PIXELS:
                return _scaled(image, steps)
            with _LARGE:
                return _scaled(image, steps)
        except (ImageTooLargeError, Image.DecompressionBombError):
            return Missing.IMAGE_TOO_LARGE
        except MemoryError:
            raise
        except Exception:  # Pillow's decoders raise nearly anything on damaged bytes
            return Missing.IMAGE_UNREADABLE


def _scaled(image: bytes, steps: Sequence[Callable[[Image.Image], Image.Image]]) -> NDArray[np.uint8]:
    import numpy as np

    from s1mm_assets.decoding import open_rgb

    picture = open_rgb(image)
    for step in steps:
        picture = step(picture)
    return np.asarray(picture, dtype=np.uint8)


_LARGE = threading.Lock()


class _QuietThreads:
    """Keeps Python's list of warning filters as it was, though several threads at once set it aside.

    `warnings.catch_warnings`, in which images are opened, puts the list back that it found: of two threads that
    overlap, the later may find what the earlier had put there for a while, and leave that for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._outer = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._outer = warnings.catch_warnings()
                self._outer.__enter__()
                warnings.simplefilter("ignore")
            self._n_inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._outer.__exit__(None, None, None)


_QUIET = _QuietThreads()
