"""CLIP models through open_clip: real loading of tiny random models, a slow reference, and hostile input."""

import io
import json
import os
import pickle
import shutil
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets.decoding import open_rgb
from s1mm_assets.metrics.clip_score import Embeddings, Missing, Pair, clip_scores, windows
from s1mm_assets.resources import clip_encoder
from s1mm_assets.resources.clip_encoder import (
    ClipEncoder,
    ClipEncoders,
    ClipUnavailableError,
    content_tokens,
    model_pixels,
)
from s1mm_assets_tests.resources.tiny_clip import (
    TINY,
    TINY_SIGLIP,
    write_letter_tokenizer,
    write_tiny_clip,
)

CAPTIONS = [
    "Energy spectrum of 12.5 MeV protons, with $\\chi^2 / n = 1.3$ (dashed).",
    "Loss against steps. " * 30,
    "naïve Müller–Lyer figures: Ångström’s 中文 &amp; emoji 🚀",
    "a " * 75,
    "b " * 76,
]


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model like OpenAI's."""
    import torch

    torch.set_num_threads(1)  # of so small a model, threads only wait for one another
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="session")
def tiny_siglip(tiny_clip: Path) -> Path:
    """The folder of a model like SigLIP's."""
    folder = write_tiny_clip(tiny_clip.with_name("tiny-siglip"), TINY_SIGLIP)
    write_letter_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tiny_clip: Path) -> ClipEncoder:
    """The model like OpenAI's, three rows at a time."""
    return loaded(tiny_clip)


@pytest.fixture(scope="session")
def siglip(tiny_siglip: Path) -> ClipEncoder:
    """The model like SigLIP's."""
    return loaded(tiny_siglip)


@pytest.fixture(params=["encoder", "siglip"])
def either(request: pytest.FixtureRequest) -> ClipEncoder:
    """Either model."""
    model: ClipEncoder = request.getfixturevalue(request.param)
    return model


def loaded(folder: Path, **settings: Any) -> ClipEncoder:
    """A model on the CPU."""
    encoders = ClipEncoders(**{"device": "cpu", "decode_threads": 3, "batch_rows": 3, **settings})
    return encoders.encoder(f"local-dir:{folder}")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def drawn(seed: int, size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Image.Image:
    """An image of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(noise, "RGBA").convert(mode)


def claimed_png(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def image_embedding(encoder: ClipEncoder, image: Image.Image) -> Embeddings:
    """One image, by the usual recipe."""
    import torch

    with torch.no_grad():
        features = encoder.model.encode_image(encoder.transform(image).unsqueeze(0))[0].numpy()
    return np.asarray(features / np.linalg.norm(features))


def text_embedding(encoder: ClipEncoder, tokens: list[int]) -> Embeddings:
    """One row of tokens, padding and all, by the usual recipe."""
    import torch

    with torch.no_grad():
        features = encoder.model.encode_text(torch.tensor([tokens]))[0].numpy()
    return np.asarray(features / np.linalg.norm(features))


def score(image: Embeddings, text: Embeddings) -> float:
    """The formula."""
    return 2.5 * max(float(image @ text), 0.0)


# The numbers --------------------------------------------------------------------------------------------------


def test_scores_are_those_of_a_slow_reference(either: ClipEncoder) -> None:
    """One image, one text, one window at a time, with open_clip's own transform, tokenizer and towers."""
    images = [drawn(number, (50 + 30 * number, 90)) for number in range(len(CAPTIONS))]
    recaptions = CAPTIONS[::-1]
    pairs = [
        Pair(f"f{number}", f"p{number}", encoded(image), CAPTIONS[number], recaptions[number])
        for number, image in enumerate(images)
    ]

    [scores] = clip_scores([pairs], either, seed=0)

    for image, pair, found in zip(images, pairs, scores, strict=True):
        seen = image_embedding(either, image)
        for text, its in ((pair.caption, found.caption), (pair.recaption, found.recaption)):
            standard = text_embedding(either, either.tokenizer([text])[0].tolist())
            assert its.standard == pytest.approx(score(seen, standard), abs=2e-6)
            content = content_tokens(either.tokenizer, text)
            frame, context = either.template, either.template.context
            parts = windows(content, context - frame.added_tokens)
            rows = [[*frame.before, *part, *frame.after] for part in parts]
            vectors = [text_embedding(either, row + [frame.padding] * (context - len(row))) for row in rows]
            mean = np.sum([vector * len(part) for vector, part in zip(vectors, parts, strict=True)], axis=0)
            assert its.whole == pytest.approx(score(seen, np.asarray(mean / np.linalg.norm(mean))), abs=2e-6)
            assert its.n_tokens == len(content) + frame.added_tokens


def test_one_window_gives_the_standard_score(encoder: ClipEncoder) -> None:
    """To the bit, and up to the model's context exactly: 77 tokens with start and end."""
    image = encoded(drawn(1))
    pairs = [Pair("f", "p", image, "a " * 75, "a " * 76)]

    [[scores]] = clip_scores([pairs], encoder, seed=0)

    assert (scores.caption.n_tokens, scores.recaption.n_tokens) == (77, 78)
    assert scores.caption.whole == scores.caption.standard
    assert scores.recaption.whole != scores.recaption.standard
    assert scores.recaption.standard == pytest.approx(scores.caption.standard, abs=1e-6)


def test_texts_come_back_in_order(either: ClipEncoder) -> None:
    """Though the model takes them sorted by length, a few at a time."""
    rng = np.random.default_rng(0)
    lengths = [1, 9, 3, either.window_tokens, 2, 7, 1, 5]
    rows = [rng.integers(3, 29, length).tolist() for length in lengths]

    together = either.texts(rows)

    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)
    for row, embedding in zip(rows, together, strict=True):
        context = either.template.context
        np.testing.assert_allclose(
            embedding, text_embedding(either, either.template.framed(row, context)), atol=1e-6
        )


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
def test_the_input_is_what_the_models_own_transform_makes(encoder: ClipEncoder, mode: str) -> None:
    """To the bit, of every colour mode; transparent parts on white."""
    import torch

    image = drawn(3, (77, 41), mode)
    file = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    opened = open_rgb(file)

    pixels = model_pixels(file, steps=encoder.steps, side_px=32)

    assert not isinstance(pixels, Missing)
    assert torch.equal(encoder.batch([pixels])[0], encoder.transform(opened))


def test_a_batch_size_changes_nothing_but_rounding(tiny_clip: Path) -> None:
    """Nor does the number of threads."""
    files = [encoded(drawn(number)) for number in range(7)]
    small, large = (loaded(tiny_clip, batch_rows=rows, decode_threads=rows) for rows in (1, 64))

    np.testing.assert_allclose(np.stack(small.images(files)()), np.stack(large.images(files)()), atol=1e-6)


def test_an_answer_that_is_no_number_costs_only_its_own_row(encoder: ClipEncoder) -> None:
    """Half precision may overflow, and a broken model say nothing at all."""
    import torch

    answers = torch.tensor([[3.0, 4.0], [0.0, 0.0], [float("inf"), 1.0]])

    unit = encoder._unit(lambda _: answers.half(), None)

    np.testing.assert_allclose(unit[0], [0.6, 0.8], rtol=1e-6)
    assert np.isnan(unit[1:]).any(axis=1).all()


# Texts --------------------------------------------------------------------------------------------------------


@given(
    text=st.one_of(st.text(max_size=80), st.lists(st.sampled_from("aé中🚀&;<# \n"), max_size=80).map("".join))
)
def test_any_text_is_read_as_the_models_tokenizer_reads_it(
    either_pair: tuple[ClipEncoder, ...], text: str
) -> None:
    """Framed, its first tokens are the tokenizer's own row."""
    for encoder in either_pair:
        tokens = encoder.tokens(text)

        row = encoder.template.framed(tokens[: encoder.window_tokens], encoder.template.context)
        assert row == encoder.tokenizer([text])[0].tolist()


@pytest.fixture(scope="session")
def either_pair(encoder: ClipEncoder, siglip: ClipEncoder) -> tuple[ClipEncoder, ...]:
    """Both models, for properties."""
    return encoder, siglip


@given(st.text(st.characters(), max_size=60))
def test_any_string_has_tokens_or_none(either_pair: tuple[ClipEncoder, ...], text: str) -> None:
    """Lone surrogates and control characters included."""
    for encoder in either_pair:
        for hostile in (text, text + "\ud800\udfff\0\ud83d", "\udc80" + text):
            assert all(isinstance(token, int) for token in encoder.tokens(hostile))


def test_control_tokens_that_a_text_spells_out_are_no_part_of_it(
    encoder: ClipEncoder, siglip: ClipEncoder
) -> None:
    """A caption cannot end itself for the model."""
    honest = encoder.tokens("a cat and a dog")

    for end in ("<end_of_text>", "<START_OF_TEXT>", "&lt;end_of_text&gt;"):
        assert encoder.tokens(f"a cat {end} and a dog") == honest
    assert 49407 in encoder.tokenizer.encode("a cat <end_of_text> and a dog")
    letters = content_tokens(siglip.tokenizer, "a</s>b")
    assert 1 not in letters


def test_a_word_without_end_is_cut(encoder: ClipEncoder) -> None:
    """Byte-pair encoding of ten thousand letters in one word takes six seconds; cut they are words of 300."""
    letters = "".join(np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 900))

    assert encoder.tokens(letters) == encoder.tokens(" ".join(letters[at : at + 300] for at in (0, 300, 600)))
    assert encoder.tokens(letters[:300]) == encoder.tokenizer.encode(letters[:300])


def test_words_are_not_remembered_for_ever(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of captions hold millions of words; control tokens stay known."""
    monkeypatch.setattr(clip_encoder, "CACHED_WORDS", 50)
    before = encoder.tokens("zebra crossing")

    for number in range(100):
        encoder.tokens(f"w{chr(97 + number % 26)}ord{chr(97 + number // 26)}")

    assert len(encoder.tokenizer.cache) <= 51
    assert encoder.tokens("zebra crossing") == before
    assert encoder.tokenizer.encode("<end_of_text>") == [49407]


def test_unknown_letters_count(siglip: ClipEncoder) -> None:
    """The token of what a tokenizer does not know is part of the text."""
    assert content_tokens(siglip.tokenizer, "aéb") == [3, 2, 4]


# Images -------------------------------------------------------------------------------------------------------


def hostile() -> Iterator[tuple[str, bytes | None, Missing]]:
    sound = encoded(drawn(0))
    jpeg = encoded(drawn(0), "JPEG")
    yield "none", None, Missing.IMAGE_UNREADABLE
    yield "empty", b"", Missing.IMAGE_UNREADABLE
    yield "text", b"not an image", Missing.IMAGE_UNREADABLE
    yield "cut png", sound[: len(sound) // 2], Missing.IMAGE_UNREADABLE
    yield "cut jpeg", jpeg[: len(jpeg) // 2], Missing.IMAGE_UNREADABLE
    yield "gif", encoded(drawn(0), "GIF"), Missing.IMAGE_UNREADABLE
    yield "hollow", claimed_png(5_000, 5_000), Missing.IMAGE_UNREADABLE
    yield "over the cap", claimed_png(10_001, 10_000), Missing.IMAGE_TOO_LARGE
    yield "bomb", claimed_png(2**31 - 1, 2**31 - 1), Missing.IMAGE_TOO_LARGE
    yield "thin line", encoded(Image.new("L", (60_000, 1))), Missing.EXTREME_ASPECT
    yield "no pixels", claimed_png(0, 7), Missing.IMAGE_UNREADABLE


HOSTILE = list(hostile())


@pytest.mark.parametrize(
    ("image", "reason"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE]
)
def test_a_hostile_image_costs_only_its_own_row(
    encoder: ClipEncoder, image: bytes | None, reason: Missing
) -> None:
    """It says why, and the images beside it are as they are alone."""
    sound = [encoded(drawn(1)), encoded(drawn(2), "JPEG")]

    first, bad, last = encoder.images([sound[0], image, sound[1]])()

    assert bad is reason
    for embedding, file in ((first, sound[0]), (last, sound[1])):
        alone = image_embedding(encoder, open_rgb(file))
        np.testing.assert_allclose(np.asarray(embedding), alone, atol=1e-6)


@given(st.binary(max_size=60), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_any_bytes_are_an_image_or_a_reason(
    either_pair: tuple[ClipEncoder, ...], junk: bytes, at: int, put: bytes
) -> None:
    """Junk, and a sound file with a hole in it."""
    file = bytearray(encoded(drawn(4)))
    file[at : at + len(put)] = put
    for image in (junk, bytes(file)):
        pixels = model_pixels(image, steps=either_pair[0].steps, side_px=32)
        assert isinstance(pixels, Missing) or pixels.shape == (32, 32, 3)


def test_large_images_are_decoded_one_at_a_time(
    encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones side by side, as many as there are threads."""
    inside, most = 0, {"large": 0, "small": 0}
    lock, both = threading.Lock(), threading.Barrier(2, timeout=60)

    def watched(image: bytes) -> Image.Image:
        nonlocal inside
        opened = real(image)
        kind = "large" if opened.width > 60 else "small"
        with lock:
            inside += 1
            most[kind] = max(most[kind], inside)
        if kind == "small":
            both.wait()
        else:
            time.sleep(0.02)  # for others to come in, if they may
        with lock:
            inside -= 1
        return opened

    real = open_rgb
    monkeypatch.setattr("s1mm_assets.decoding.open_rgb", watched)
    monkeypatch.setattr(clip_encoder, "LARGE_PIXELS", 60 * 60)

    encoder.images([encoded(drawn(number, (61, 61))) for number in range(6)])()
    encoder.images([encoded(drawn(number, (60, 60))) for number in range(2)])()

    assert most == {"large": 1, "small": 2}


def test_decoding_leaves_the_warning_filters_alone(encoder: ClipEncoder) -> None:
    """Many threads set them aside at once, and all put them back."""
    before = list(warnings.filters)

    files = [encoded(drawn(number)) for number in range(12)]
    for _ in range(10):
        encoder.images(files)()

    assert list(warnings.filters) == before


# Loading ------------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_once(tiny_clip: Path) -> None:
    """By whichever resource; other settings are another."""
    assert loaded(tiny_clip) is loaded(tiny_clip)
    assert loaded(tiny_clip, batch_rows=5) is not loaded(tiny_clip)


def test_the_component_names_the_very_bytes(tiny_clip: Path, tmp_path: Path) -> None:
    """Not where they lie; the same before loading as after."""
    copy = shutil.copytree(tiny_clip, tmp_path / "tiny")
    other = write_tiny_clip(tmp_path / "other" / "tiny", seed=1)
    encoders = ClipEncoders(device="cpu")
    names = [encoders.component(f"local-dir:{folder}") for folder in (tiny_clip, copy, other)]

    assert names[0] == names[1] == loaded(tiny_clip, batch_rows=64).component
    assert names[0].startswith("open_clip 3")
    assert "local-dir:tiny" in names[0]
    assert names[0].endswith("float32, 64 rows at once)")
    assert names[2] != names[0]
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    assert encoders.component(f"local-dir:{copy}") != names[0]


def test_a_model_of_the_hub_comes_from_the_cache(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, by branch or commit; the commit is on record. What is not in the cache is said in one line."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some--clip"
    shutil.copytree(tiny_clip, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    encoders = ClipEncoders(device="cpu")

    latest = encoders.encoder("hf-hub:some/clip")

    assert f"hf-hub:some/clip@{commit}" in latest.component
    assert encoders.component("hf-hub:some/clip", revision=commit) == latest.component
    for wanted, revision in (("hf-hub:some/clip", "v9"), ("hf-hub:no/clip", "")):
        with pytest.raises(ClipUnavailableError, match="has to be in this machine's cache") as caught:
            encoders.encoder(wanted, revision=revision)
        assert "\n" not in str(caught.value)
    (repository / "snapshots" / commit / "open_clip_model.safetensors").unlink()
    with pytest.raises(ClipUnavailableError, match=r"no weights .* `hf download some/clip` fetches them"):
        encoders.component("hf-hub:some/clip")


def test_a_file_of_weights_goes_with_a_named_model(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are on record."""
    import open_clip

    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "tiny-named.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(configs)
    weights = tiny_clip / "open_clip_model.safetensors"

    named = ClipEncoders(device="cpu").encoder("tiny-named", str(weights))

    assert "tiny-named, open_clip_model.safetensors (sha256 " in named.component
    row = [[320, 1125, 539]]
    np.testing.assert_array_equal(named.texts(row), loaded(tiny_clip).texts(row))


@pytest.mark.parametrize(
    ("model", "pretrained", "revision", "message"),
    [
        ("ViT-B-32", "", "", "has no weights '', and would be random: openai, "),
        ("ViT-B-32", "openia", "", "has no weights 'openia', and would be random"),
        ("ViT-B-32", "openai", "", "name the model ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", "", "has no weights|name the model ViT-B-32$"),
        ("ViT-B-33", "openai", "", "open_clip knows no model 'ViT-B-33'"),
        ("ViT-B-32", "openai", "main", "is not on the Hub, so it has no revision main"),
        ("hf-hub:a/b", "openai", "", "brings its own weights"),
        ("local-dir:/nowhere", "", "", "no open_clip_config.json"),
        ("local-dir:", "", "", "no open_clip_config.json"),
        ("", "", "", "knows no model ''"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(
    tiny_clip: Path, model: str, pretrained: str, revision: str, message: str
) -> None:
    """With what to do; above all, nothing is ever random."""
    with pytest.raises(ClipUnavailableError, match=message) as caught:
        ClipEncoders(device="cpu").encoder(model, pretrained, revision)

    assert "\n" not in str(caught.value)


def break_folder(folder: Path, how: str) -> None:
    config, weights = folder / "open_clip_config.json", folder / "open_clip_model.safetensors"
    match how:
        case "no weights":
            weights.unlink()
        case "cut weights":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "no JSON":
            config.write_text("{")
        case "no model":
            config.write_text("[]")
        case "other shapes":
            towers = {**TINY, "embed_dim": 24}
            config.write_text(json.dumps({"model_cfg": towers}))
        case "other tokenizer":
            text = {**TINY["text_cfg"], "hf_tokenizer_name": "missing"}
            config.write_text(json.dumps({"model_cfg": {**TINY, "text_cfg": text}}))


@pytest.mark.parametrize(
    "how", ["no weights", "cut weights", "no JSON", "no model", "other shapes", "other tokenizer"]
)
def test_a_broken_folder_is_said_in_one_line(tiny_clip: Path, tmp_path: Path, how: str) -> None:
    """Whichever library finds it."""
    folder = shutil.copytree(tiny_clip, tmp_path / "broken")
    break_folder(folder, how)

    with pytest.raises(ClipUnavailableError, match=r"weights|cannot be loaded") as caught:
        loaded(folder)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


class Bomb:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def test_a_pickle_that_runs_code_is_refused(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints are data."""
    import torch

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bad"
    folder.mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", folder)
    weights = folder / "open_clip_pytorch_model.bin"

    torch.save({"state_dict": Bomb()}, weights)
    with pytest.raises(ClipUnavailableError, match="cannot be loaded"):
        loaded(folder)
    weights.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ClipUnavailableError, match="cannot be loaded"):
        loaded(folder)

    assert not (tmp_path / "unpickled").exists()


def test_a_pickle_of_tensors_is_read(tiny_clip: Path, tmp_path: Path) -> None:
    """As most weights on the Hub were once published."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", folder)
    torch.save(load_file(tiny_clip / "open_clip_model.safetensors"), folder / "open_clip_pytorch_model.bin")

    row = [[320, 1125, 539]]
    np.testing.assert_array_equal(loaded(folder).texts(row), loaded(tiny_clip).texts(row))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x", "meta"])
def test_a_device_that_is_not_there_is_said(tiny_clip: Path, device: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ClipUnavailableError, match=f"device '{device}' cannot be used") as caught:
        loaded(tiny_clip, device=device)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["torch", "open_clip"])
def test_a_missing_library_is_said_with_the_extra(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """`s1mm-assets` works without it."""
    import sys

    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ClipUnavailableError, match=r"s1mm-assets\[models\]"):
        ClipEncoders(device="auto").encoder("ViT-B-32-quickgelu", "openai")


def test_a_tokenizer_that_does_more_than_frame_is_refused(tiny_siglip: Path, tmp_path: Path) -> None:
    """One that puts a token at a fixed place after the padding, as "clips" does, has no windows."""
    folder = shutil.copytree(tiny_siglip, tmp_path / "clips")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_mode"] = "clips"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {"bos_token": "<pad>", "cls_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))

    with pytest.raises(ClipUnavailableError, match="windows of a text cannot be made"):
        loaded(folder)
