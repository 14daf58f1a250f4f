"""Tests of s1mm_assets.release.hub."""

import hashlib
import string
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.release.hub import (
    CommitLimits,
    PublicationSettings,
    Stored,
    UploadPlan,
    changed_by_others,
    differences,
    git_blob_of,
    in_commits,
    is_there,
    over_limits,
    plan_upload,
    refusals,
    version_conflict,
)
from s1mm_assets.release.manifest import Edition, Manifest, ManifestFile

DATASET: dict[str, Any] = {
    "engines": [["vllm", "Qwen", "main", "3", 10]],
    "not_evaluated": [],
    "made_by": {"recaptions": {"versions": ["7"]}},
    "licence_policy": "redistributable",
}


def file(path: str, n_bytes: int = 10, *, content: str = "") -> ManifestFile:
    digest = hashlib.sha256(f"{path} {content}".encode()).hexdigest()
    return ManifestFile(path=path, n_bytes=n_bytes, sha256=digest, xet=digest[::-1], n_rows=None)


def manifest(*paths: str | ManifestFile, version: int = 1, **dataset: Any) -> Manifest:
    return Manifest(
        made_from="m",
        dataset={**DATASET, **dataset},
        files=tuple(file(each) if isinstance(each, str) else each for each in paths),
        history=tuple(Edition(version=i + 1, n_records=1) for i in range(version)),
    )


def held(*files: ManifestFile) -> dict[str, Stored]:
    """A repository that holds files as large ones."""
    return {each.path: Stored(n_bytes=each.n_bytes, sha256=each.sha256, xet=each.xet) for each in files}


def with_manifest(made: Manifest) -> dict[str, Stored]:
    """A repository that holds a release."""
    content = made.render()
    of_manifest = Stored(n_bytes=len(content), git_blob=git_blob_of(content))
    return {**held(*made.files), "manifest.json": of_manifest}


def plan(made: Manifest, stored: dict[str, Stored], **more: Any) -> UploadPlan:
    return plan_upload(
        made, stored, **{"of_theirs": None, "git_blobs": {}, "limits": CommitLimits(max_files=2), **more}
    )


MIXED: dict[str, tuple[dict[str, Any], str]] = {
    "allow_context_recaptions": (
        {"engines": [["context", None, None, "1", 3], ["context", "a", None, "1", 0]]},
        "3 records have recaptions of the context engine",
    ),
    "allow_not_evaluated": (
        {"not_evaluated": ["CLIP score", "pseudo-perplexity"]},
        "not evaluated: CLIP score, pseudo-perplexity",
    ),
    "allow_mixed_prompts": (
        {"engines": [["vllm", "Qwen", "main", "3", 1_000], ["vllm", "Qwen", "main", "4", 2]]},
        "recaptions of 2 prompts: 3 (1,000 records), 4 (2 records)",
    ),
    "allow_mixed_models": (
        {"engines": [["vllm", "Qwen", "main", "3", 1], ["vllm", "Qwen", "old", "3", 2]]},
        "recaptions of 2 models: vllm Qwen main (1 records), vllm Qwen old (2 records)",
    ),
    "allow_mixed_versions": (
        {"made_by": {"recaptions": {"versions": ["7", "8"]}, "hf_release": {"versions": ["1"]}}},
        "different versions of the code: recaptions 7, 8",
    ),
    "allow_unlicensed": ({"licence_policy": "all"}, "whose licence does not let others pass them on"),
}


def test_every_setting_has_its_reason() -> None:
    """A permission that no reason asks for would be forgotten."""
    assert {each.name for each in fields(PublicationSettings)} == set(MIXED)


@pytest.mark.parametrize("setting", MIXED)
def test_what_nobody_expects_is_refused_unless_it_is_allowed_by_name(setting: str) -> None:
    """The reason says what there is and which setting allows it; no other setting does."""
    dataset, says = MIXED[setting]
    made = manifest("README.md", **dataset)
    others = PublicationSettings(**{name: True for name in MIXED if name != setting})

    (reason,) = refusals(made, PublicationSettings())
    assert says in reason
    assert f"{setting} = true under [publication]" in reason
    assert refusals(made, others) == [reason]
    assert refusals(made, PublicationSettings(**{setting: True})) == []


def test_a_release_as_it_should_be_is_published() -> None:
    """With every permission withheld; an engine without records mixes nothing."""
    engines = [*DATASET["engines"], ["context", None, None, "1", 0]]

    assert refusals(manifest("README.md", engines=engines), PublicationSettings()) == []


@pytest.mark.parametrize("key", ["engines", "not_evaluated", "made_by", "licence_policy"])
def test_what_the_manifest_does_not_say_is_refused(key: str) -> None:
    """By no setting to be allowed: silence is no evidence."""
    made = manifest("README.md")
    made = replace(made, dataset={name: value for name, value in made.dataset.items() if name != key})
    allowed = PublicationSettings(**dict.fromkeys(MIXED, True))

    assert refusals(made, allowed) == [f"manifest.json does not say {key!r}: make the release again"]


def test_a_permission_is_yes_or_no() -> None:
    """A text would always be true."""
    with pytest.raises(ValueError, match="allow_unlicensed is true or false"):
        PublicationSettings(allow_unlicensed="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "theirs", "is_conflict"), [(2, 1, False), (1, 1, True), (1, 2, True), (3, 3, True)]
)
def test_versions_rise(ours: int, theirs: int, is_conflict: bool) -> None:
    """Other content needs a higher version."""
    found = version_conflict(manifest(version=ours), replace(manifest(version=theirs), made_from="other"))

    assert bool(found) is is_conflict
    assert found is None or f"set version under [release] to {theirs + 1} or more" in found


def test_the_same_release_may_be_uploaded_again() -> None:
    """But not under a lower version than the repository's."""
    assert version_conflict(manifest(version=2), manifest(version=2)) is None
    assert version_conflict(manifest(version=1), manifest(version=2)) is not None


def test_a_version_follows_only_one_of_its_own_dataset() -> None:
    """Its history begins with theirs; another dataset's higher version, or the same number, does not replace it."""
    theirs = manifest(version=1)
    first, second = Edition(version=1, n_records=7), Edition(version=2, n_records=7)
    other = replace(manifest(version=1), history=(first, second))
    late = replace(manifest(version=1), history=(second,))

    for made in (other, late, replace(theirs, history=(first,))):
        assert "the repository holds another dataset" in (version_conflict(made, theirs) or "")
    assert version_conflict(replace(theirs, history=(*theirs.history, second)), theirs) is None


def test_data_goes_first_and_what_shows_the_release_last() -> None:
    """In commits of as many files as are allowed."""
    made = manifest(
        "README.md", "b/jsonl/2003.jsonl", "a/jsonl/2003.jsonl", "croissant.json", "changes/1.jsonl"
    )

    found = plan(made, {})

    assert [[each.path for each in commit] for commit in found.commits] == [
        ["a/jsonl/2003.jsonl", "b/jsonl/2003.jsonl"],
        ["changes/1.jsonl"],
    ]
    assert [each.path for each in found.last] == ["README.md", "croissant.json"]
    assert found.is_manifest_sent


def test_a_repository_that_holds_the_release_needs_nothing() -> None:
    """Neither files, nor a last commit."""
    made = manifest("README.md", "a/jsonl/2003.jsonl")

    found = plan(made, with_manifest(made))

    assert (found.files, found.has_last, found.n_kept) == ([], False, 2)
    assert differences(made, with_manifest(made), {}) == []


@pytest.mark.parametrize(
    ("there", "git_blob", "is_same"),
    [
        (Stored(n_bytes=10, sha256="s", xet="x"), None, True),
        (Stored(n_bytes=10, sha256="s"), None, True),
        (Stored(n_bytes=9, sha256="s", xet="x"), None, False),
        (Stored(n_bytes=10, sha256="t", xet="x"), None, False),
        (Stored(n_bytes=10, sha256="s", xet="y"), None, False),
        (Stored(n_bytes=10, git_blob="g"), "g", True),
        (Stored(n_bytes=10, git_blob="g"), "h", False),
        (Stored(n_bytes=10, git_blob="g"), None, False),
        (Stored(n_bytes=10), None, False),
        (None, "g", False),
    ],
)
def test_what_is_there_is_known_by_length_and_digest(
    there: Stored | None, git_blob: str | None, is_same: bool
) -> None:
    """Of a large file SHA-256 and, where it is listed, Xet hash; of a small one git's name."""
    ours = ManifestFile(path="a", n_bytes=10, sha256="s", xet="x", n_rows=None)

    assert is_there(ours, there, git_blob) is is_same


def test_only_what_their_manifest_lists_and_a_release_makes_is_deleted() -> None:
    """What is called otherwise is left alone, whoever lists it."""
    made = manifest("README.md", "a/jsonl/2003.jsonl", version=2)
    gone = [
        *(
            "ATTRIBUTION.md",
            "croissant.json",
            "pictures/years.svg",
            "changes/1.jsonl",
            "a/data/2003/00000.parquet",
        ),
        *("a/images.tar.gz.partab", "a/images_2003.tar.gz", "a/jsonl/1999.jsonl", "a/recipes/2003.jsonl"),
        *("a/tombstones/2003.jsonl", "a/webdataset/2003/00001.tar", "a/attribution/2003.jsonl"),
    ]
    listed = [*gone, ".gitattributes", "thesis.pdf", "a/data/2003/notes.txt", "pictures/deep/x.svg"]
    foreign = ["LICENSE", "a/data/readme.txt", "docs/x.md", "a/jsonl/deep/2003.jsonl", "pictures/mine.png"]
    stored = {path: Stored(n_bytes=1) for path in [*listed, *foreign, "manifest.json"]}

    found = plan(made, stored, of_theirs=listed)

    assert list(found.deletions) == sorted(gone)
    assert sorted(found.left_alone) == sorted([*foreign, *set(listed) - set(gone)])


@pytest.mark.parametrize(
    ("of_theirs", "says"),
    [(None, "has no manifest.json"), (["a/jsonl/2001.jsonl"], "has a manifest.json that does not list them")],
)
def test_data_that_no_manifest_lists_is_named_and_not_deleted(of_theirs: list[str] | None, says: str) -> None:
    """Somebody else has put it there."""
    stored = {path: Stored(n_bytes=1) for path in ("a/data/2003/00000.parquet", "LICENSE", "docs/x.md")}

    with pytest.raises(ValueError, match=f"{says}, but 1 files .* such as a/data/2003/00000.parquet"):
        plan(manifest("README.md", version=2), stored, of_theirs=of_theirs)


@given(
    st.lists(st.integers(0, 30), max_size=30),
    st.integers(1, 5),
    st.integers(1, 40),
)
def test_commits_hold_every_file_once_within_limits(sizes: list[int], most: int, most_bytes: int) -> None:
    """In order; more bytes than allowed only where one file alone has them; none could take the next file."""
    files = [file(f"a/{i}", n_bytes) for i, n_bytes in enumerate(sizes)]

    commits = in_commits(files, CommitLimits(max_files=most, max_bytes=most_bytes))

    assert [each for commit in commits for each in commit] == files
    for commit in commits:
        n_bytes = sum(each.n_bytes for each in commit)
        assert 0 < len(commit) <= most
        assert n_bytes <= most_bytes or len(commit) == 1
    for one, following in pairwise(commits):
        n_bytes = sum(each.n_bytes for each in one)
        assert len(one) == most or n_bytes + following[0].n_bytes > most_bytes


def test_the_hubs_limits_are_known() -> None:
    """Files in a repository with what is there, entries of a folder, bytes of a file; and what to set."""
    few = manifest("README.md")
    many = [f"{letter}/{i % 20}/{i}" for letter in string.ascii_lowercase[:10] for i in range(9_999)]

    assert over_limits(few, many) == []
    (reason,) = over_limits(few, [*many, *(f"z/{i}" for i in range(8))])
    assert reason.startswith("the repository would hold 100,000 files")
    assert "part_bytes" in reason
    (reason,) = over_limits(few, [f"a/data/{i}" for i in range(10_000)])
    assert reason.startswith("a/data would hold 10,000 entries")
    (reason,) = over_limits(few, [f"a/{i}/x" for i in range(10_000)])
    assert reason.startswith("a would hold 10,000 entries")
    (reason,) = over_limits(manifest(file("a/images.tar.gz", 200_000_000_000)), [])
    assert "lower part_bytes under [release]" in reason
    assert over_limits(manifest(file("a/images.tar.gz", 199_999_999_999)), []) == []


@pytest.mark.parametrize("path", ["../x", "a/../x", "/x", "a//x", ".git/config", "a/.cache/x", "./x"])
def test_paths_that_the_hub_would_change_or_refuse_are_refused(path: str) -> None:
    """Before anything is sent."""
    assert over_limits(manifest(path), []) == [f"{path!r} is no path that the Hub takes"]


def test_differences_name_the_file_and_what_is_wrong() -> None:
    """Missing, of another length, of another digest, and too many; the manifest too."""
    paths = [f"a/jsonl/{year}.jsonl" for year in range(2000, 2006)]
    made = manifest(*paths)
    stored = with_manifest(made)
    del stored[paths[0]]
    stored[paths[1]] = replace(stored[paths[1]], n_bytes=11)
    stored[paths[2]] = replace(stored[paths[2]], sha256="0")
    stored[paths[3]] = replace(stored[paths[3]], xet="0")
    stored[paths[4]] = Stored(n_bytes=10, git_blob="g")
    stored[paths[5]] = Stored(n_bytes=10, git_blob="g")
    stored["manifest.json"] = Stored(n_bytes=1, git_blob="g")
    stored |= {"a/jsonl/1999.jsonl": Stored(n_bytes=1), "LICENSE": Stored(n_bytes=1)}

    assert differences(made, stored, {paths[4]: "h", paths[5]: "g"}) == [
        "a/jsonl/2000.jsonl is missing",
        "a/jsonl/2001.jsonl has 11 bytes, not 10",
        "a/jsonl/2002.jsonl has another SHA-256",
        "a/jsonl/2003.jsonl has another Xet hash",
        "a/jsonl/2004.jsonl has other content",
        "manifest.json has other content",
        "a/jsonl/1999.jsonl is not of this release",
    ]
    assert differences(manifest(), {}, {}) == ["manifest.json is missing"]


def test_what_others_changed_is_found() -> None:
    """Added, removed, altered."""
    same, one, two = Stored(n_bytes=1), Stored(n_bytes=2), Stored(n_bytes=3)

    assert changed_by_others(
        {"same": same, "altered": one, "removed": one}, {"same": same, "altered": two, "added": one}
    ) == {"altered", "removed", "added"}


def test_small_files_are_named_as_git_names_them() -> None:
    """As `git hash-object` names them."""
    assert git_blob_of(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_of(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
