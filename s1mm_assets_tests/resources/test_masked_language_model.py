"""Masked language models: what they answer is the definition's; what cannot be used says so."""

import gc
import json
import pickle
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from s1mm_assets.metrics.pseudo_perplexity import (
    MaskedModel,
    NoScore,
    masked_batches,
    pseudo_perplexities,
    token_log_probabilities,
)
from s1mm_assets.resources import masked_language_model
from s1mm_assets.resources.masked_language_model import (
    MaskedLanguageModel,
    MaskedLanguageModels,
    ModelMissingError,
    ModelUnusableError,
)
from s1mm_assets_tests.resources import tiny_bert

CAPTIONS = (
    "The figure shows energy against time.",
    "a",
    "The model's data: E = mc^2 (solid), 12.5% of 3,000 [arb. units].",
    "curve of energy, curve of time, curve of data",
    "Energy of the model in the figure " * 5,
)
CPU = MaskedLanguageModels(device="cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For such small models threads spend their time waiting for one another."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> MaskedLanguageModel:
    return CPU.model(str(folder))


def naive(text: str, folder: Path, window: int) -> float:
    """The definition, one token at a time, with the library's own classes and nothing of ours."""
    network = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    whole = tokenizer(text)["input_ids"]
    begin, *ids, end = whole
    room = window - 2
    total = 0.0
    for index, token in enumerate(ids):
        first = max(0, min(index - room // 2, len(ids) - room))
        row = [begin, *ids[first : first + room], end]
        row[index - first + 1] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = network(torch.tensor([row])).logits[0, index - first + 1]
        total += float(logits.log_softmax(-1)[token])
    return float(np.exp(-total / len(ids)))


def test_values_are_the_definitions(model: MaskedLanguageModel, folder: Path) -> None:
    """To 1e-5, for short texts and for those longer than the window, in batches with and without padding."""
    scored = pseudo_perplexities(CAPTIONS, model)

    assert max(each.n_tokens or 0 for each in scored) < model.window < len(CAPTIONS[-1])
    for text, each in zip(CAPTIONS, scored, strict=True):
        assert each.value == pytest.approx(naive(text, folder, model.window), rel=1e-5)


def test_texts_longer_than_the_window(model: MaskedLanguageModel, folder: Path) -> None:
    """Each token is scored in the window around it."""
    text = "the model shows data in time " * 15

    (scored,) = pseudo_perplexities([text], model)

    assert scored.n_tokens == 90 > model.window
    assert scored.value == pytest.approx(naive(text, folder, model.window), rel=1e-5)


def test_a_value_does_not_depend_on_its_neighbours(model: MaskedLanguageModel) -> None:
    """In a batch with others, padded or not, a text has the value that it has alone."""
    together = pseudo_perplexities(CAPTIONS, model)

    for text, each in zip(CAPTIONS, together, strict=True):
        (alone,) = pseudo_perplexities([text], model)
        assert each.value == pytest.approx(alone.value, rel=1e-5)


def test_values_are_the_same_each_time(model: MaskedLanguageModel) -> None:
    """To the last bit, so that a shard made again has the same bytes."""
    assert pseudo_perplexities(CAPTIONS, model) == pseudo_perplexities(CAPTIONS, model)


def test_values_do_not_depend_on_the_number_of_threads(model: MaskedLanguageModel) -> None:
    """To the last bit; and torch's own setting is left as it was."""
    texts = [f"the curve of model {number} shows energy {'a b ' * number}" for number in range(20)]
    alone = pseudo_perplexities(texts, model)

    torch.set_num_threads(3)
    try:
        together = pseudo_perplexities(texts, model)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)

    assert together == alone


def test_a_fault_in_a_batch_is_raised(model: MaskedLanguageModel) -> None:
    """And what was under way ends."""
    batches = list(masked_batches([np.arange(10, 30)] * 40, model))
    broken = replace(batches[1], ids=batches[1].ids + 10_000)

    with pytest.raises(IndexError):
        list(model.log_probabilities([batches[0], broken, *batches[2:]]))

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("masked-lm")]


def test_no_more_is_computed_than_masked_positions_need(
    model: MaskedLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Head and last layer get one position of each row, the first layer's projections each token and place once."""
    network = model._loaded.network._model
    first, last = network.bert.encoder.layer
    sizes: dict[str, int] = {}
    linear = torch.nn.Linear.forward
    spied = {
        first.attention.self.query: "first queries",
        first.attention.self.value: "first values",
        first.intermediate.dense: "first feed-forward",
        last.attention.self.query: "last queries",
        last.attention.self.value: "last values",
        last.intermediate.dense: "last feed-forward",
        network.cls.predictions.decoder: "head",
    }

    def counted(self: Any, given: Any) -> Any:
        sizes[spied.get(self, "")] = given[..., 0].numel()
        return linear(self, given)

    monkeypatch.setattr(torch.nn.Linear, "forward", counted)

    list(model.log_probabilities(masked_batches([np.arange(10, 30)], model)))

    n_rows, n_distinct = 20, 22 + 20  # each place as it is, and each of the text's masked
    assert {name: size for name, size in sizes.items() if name} == {
        "first queries": n_distinct,
        "first values": n_distinct,
        "first feed-forward": n_rows * 22,
        "last queries": n_rows,
        "last feed-forward": n_rows,
        "head": n_rows,
    }


def test_rows_that_share_little(model: MaskedLanguageModel, folder: Path) -> None:
    """A token of each of many texts: the values are the definition's too."""
    words = tiny_bert.WORDS

    for word, scored in zip(words, pseudo_perplexities(words, model), strict=True):
        assert scored.value == pytest.approx(naive(word, folder, model.window), rel=1e-5)


def config_of(family: str) -> Any:
    """Return the configuration of a small model."""
    sizes: dict[str, Any] = {
        "vocab_size": len(tiny_bert.VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "initializer_range": 0.3,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    renamed = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    changes = {"distilbert": renamed}
    return transformers.AutoConfig.for_model(family, **sizes, **changes.get(family, {}))


# The first is built like BERT, the second normalizes before each layer and not after; the third has other names.
@pytest.mark.parametrize(("family", "window"), [("roberta", 63), ("xlm-roberta-xl", 63), ("distilbert", 64)])
def test_other_families(family: str, window: int, folder: Path, tmp_path: Path) -> None:
    """Values are the definition's, whether the last layer can be narrowed or the head alone."""
    torch.manual_seed(1)
    kind: Any = transformers.AutoModelForMaskedLM
    tiny_bert.with_biases(kind.from_config(config_of(family))).save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path)
    long = "the model shows data in time " * 15

    model = CPU.model(str(tmp_path))

    assert model.window == window
    for text in (CAPTIONS[0], long):
        (scored,) = pseudo_perplexities([text], model)
        assert scored.value == pytest.approx(naive(text, tmp_path, window), rel=1e-4)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_near(precision: str, folder: Path, model: MaskedLanguageModel) -> None:
    """The softmax is in single precision: what is lost is the network's rounding."""
    half = MaskedLanguageModels(device="cpu", precision=precision).model(str(folder))

    for exact, rounded in zip(
        pseudo_perplexities(CAPTIONS, model), pseudo_perplexities(CAPTIONS, half), strict=True
    ):
        assert rounded.value == pytest.approx(exact.value, rel=0.25)
    assert half.component != model.component


def test_special_tokens_in_a_text_are_text(model: MaskedLanguageModel) -> None:
    """A caption cannot mask, end or pad itself."""
    (ids,) = model.token_ids(["[SEP] the [MASK] [PAD] [CLS]"])

    assert not {0, 2, 3, 4} & set(ids)
    assert [tiny_bert.VOCABULARY[token] for token in ids[:3]] == ["[", "s", "##e"]


HOSTILE = (
    "\ud800",
    "a \udfff b",
    "\ud83d\ude00",
    "\0\0\0",
    "the\0figure",
    "\ufdfa" * 300,
    "e" + "\u0301" * 5_000,
    "\u202e\ufeff\u200b",
    "￿",
    "\U0010ffff",
    "漢字" * 50,
    "\n\t\r\v\f",
    "x" * 101,
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:8]))
def test_any_text_has_a_value_or_a_reason(text: str, model: MaskedLanguageModel) -> None:
    """Lone surrogates, NULs, marks, other scripts."""
    (scored,) = pseudo_perplexities([text], model)

    assert (scored.value is None) == (scored.reason is not None)
    assert scored.value is None or scored.value >= 1


def test_a_megabyte_is_too_long(model: MaskedLanguageModel) -> None:
    """It is not scored, and harms nobody."""
    found = pseudo_perplexities(["a " * 500_000, "the figure"], model)

    assert found[0].reason is NoScore.TOO_LONG
    assert found[1].value is not None


def test_it_is_a_masked_model(model: MaskedLanguageModel) -> None:
    """It has all that the definition asks for."""
    protocol: MaskedModel = model

    assert (protocol.prefix, protocol.suffix, protocol.mask_id, protocol.pad_id) == ((2,), (3,), 4, 0)
    assert model.token_ids([]) == []
    assert token_log_probabilities([], model) == []


def test_component_says_what_scored(folder: Path, tmp_path: Path) -> None:
    """The bytes of weights, configuration and tokenizer count; where they lie, and other files, do not."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("Notes")
    component = CPU.model(str(folder)).component

    assert CPU.model(str(copy)).component == component
    assert component.startswith("sha256:")
    assert " float32, transformers " in component
    for name in ("vocab.txt", "config.json", "model.safetensors"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b"\n")
        assert CPU.model(str(copy)).component != component
        (copy / name).write_bytes(content)


def test_weights_are_loaded_once_per_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask, and not before they are used; a pickled model leaves them behind."""
    loads: list[str] = []
    load = masked_language_model._load
    monkeypatch.setattr(masked_language_model, "_LOADED", {})

    def counted(wanted: MaskedLanguageModel) -> Any:
        loads.append(wanted.name)
        return load(wanted)

    monkeypatch.setattr(masked_language_model, "_load", counted)

    first, second = CPU.model(str(folder)), CPU.model(str(folder))
    assert not loads
    third = pickle.loads(pickle.dumps(first))  # noqa: S301
    for each in (first, second, third):
        assert each.token_ids(["the figure"]) == [[5, 6]]

    assert loads == [str(folder)]
    assert len(pickle.dumps(first)) < 1_000


def cached(home: Path, folder: Path) -> str:
    """Put a model into a Hub cache, as a download does; return its commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = home / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return commit


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_repository_goes_by_its_commit(offline_hub: Path, folder: Path, model: MaskedLanguageModel) -> None:
    """A branch is resolved, offline from the cache, and loads what is there."""
    commit = cached(offline_hub, folder)

    found = CPU.model("someone/tiny", revision="main")

    assert found.component.startswith(f"someone/tiny@{commit} float32, transformers ")
    assert pseudo_perplexities(CAPTIONS[:2], found) == pseudo_perplexities(CAPTIONS[:2], model)


@pytest.mark.parametrize("name", ["someone/else", "/no/such/folder", "no good name!", ""])
def test_a_missing_model_says_what_to_do(name: str, offline_hub: Path) -> None:
    """In one line, with the command that fetches it."""
    with pytest.raises(ModelMissingError, match="hf download") as caught:
        CPU.model(name, revision="v1")

    assert "\n" not in str(caught.value)


def test_missing_libraries_say_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ModelMissingError, match=r"pip install 's1mm-assets\[models\]'"):
        CPU.model(str(folder))


@pytest.mark.parametrize("device", ["tpu", "", "cuda:99", "mps", "cpu\n", "CUDA"])
def test_an_unknown_device_is_named(device: str, folder: Path) -> None:
    """In one line, with those there are."""
    with pytest.raises(ModelUnusableError, match="auto") as caught:
        MaskedLanguageModels(device=device).model(str(folder))

    assert "\n" not in str(caught.value)


def test_an_unknown_precision_is_named(folder: Path) -> None:
    """In one line, with those there are."""
    with pytest.raises(ModelUnusableError, match="float32"):
        MaskedLanguageModels(precision="int8").model(str(folder))


def without_head(folder: Path) -> None:
    tiny_bert.bert().bert.save_pretrained(folder)


def without_bias(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "cls.predictions.bias"},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def without_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").unlink()


def with_a_larger_vocabulary(folder: Path) -> None:
    with (folder / "vocab.txt").open("a") as file:
        file.write("another\nand\n")


def with_other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))


def with_its_own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    mapped = {"AutoModelForMaskedLM": "evil.Evil", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": mapped}))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


def with_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (folder / "ran",))

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Bomb()}, protocol=2))


def cut_off(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def not_json(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\x00{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_head, "without its head"),
        (without_bias, "not in its files"),
        (without_vocabulary, "no vocabulary"),
        (with_a_larger_vocabulary, "more than the model knows"),
        (with_other_sizes, "cannot be loaded|not in its files"),
        (with_its_own_code, "cannot be loaded"),
        (with_a_pickle, "cannot be loaded"),
        (cut_off, "cannot be loaded"),
        (empty, "cannot be loaded"),
        (not_json, "cannot be loaded"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_cannot_score_is_refused(
    spoil: Any, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one line that says why; nothing that comes with the weights is run, no gap is filled at random."""
    folder = tiny_bert.make(tmp_path / "model")
    spoil(folder)
    capfd.readouterr()

    with pytest.raises(ModelUnusableError, match=words) as caught:
        CPU.model(str(folder)).token_ids(["a"])

    assert "\n" not in str(caught.value)
    assert not (folder / "ran").exists()
    assert capfd.readouterr() == ("", "")
    gc.collect()  # what a failed load leaves open must not warn in another test


def test_pickled_weights_are_read_without_running_them(tmp_path: Path, model: MaskedLanguageModel) -> None:
    """SciBERT's own repository has no others, and names its normalization as old checkpoints do."""
    folder = tiny_bert.make(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = tiny_bert.bert().state_dict()
    for new, old in names.items():
        weights = {name.replace(new, old): value for name, value in weights.items()}
    weights["bert.pooler.dense.weight"] = torch.zeros(32, 32)
    del weights["cls.predictions.decoder.bias"]  # the same as cls.predictions.bias
    torch.save(weights, folder / "pytorch_model.bin")

    assert pseudo_perplexities(CAPTIONS, CPU.model(str(folder))) == pseudo_perplexities(CAPTIONS, model)


def test_a_head_that_sees_other_positions_is_refused() -> None:
    """What cannot be narrowed without changing its answers is not narrowed."""
    network = tiny_bert.bert()
    head = network.cls.forward
    network.cls.forward = lambda hidden: head(hidden + hidden.mean(dim=1, keepdim=True))

    with pytest.raises(ModelUnusableError, match="one position"):
        masked_language_model._Network(network)
