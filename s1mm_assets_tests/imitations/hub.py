"""The Hugging Face Hub in small, on loopback: huggingface_hub and hf_xet talk to it as they are.

    with ImitationHub(folder, token="hf_…") as hub:
        HfApi(endpoint=hub.endpoint, token=hub.token).create_repo("someone/data", repo_type="dataset")

Repositories are kept in memory, large files in the folder: objects of the LFS protocol, and a Xet store that the
client itself chunks into (`casUrl` is `local://…`). What a commit may name is read back from the store's own shards.
Requests are recorded without their headers, so no token is. Faults come as they are asked for.
"""

import base64
import hashlib
import json
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import yaml

REPO = r"(?P<repo>[^/]+/[^/]+)"
REVISION = r"(?P<revision>[^/]+)"
LARGE = re.compile(
    r".*\.(parquet|gz|tar|zip|7z|zst|bin|npz|png|jpg|jpeg|part[a-z]{2})"
)  # as in .gitattributes
GITATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
STALE = "A commit has happened since. Please refresh and try again."


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A file of a commit."""

    n_bytes: int
    oid: str  # git's, of the content, or of the pointer to it
    sha256: str | None = None  # of a large file
    xet: str | None = None
    content: bytes = b""  # of a small file


@dataclass(frozen=True)
class Commit:
    """A state of a repository."""

    oid: str
    tree: Mapping[str, Blob]
    message: str
    parent: str | None


@dataclass
class Repo:
    """A dataset repository."""

    name: str
    is_private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    head: str = ""

    def commit(self, tree: Mapping[str, Blob], message: str) -> Commit:
        """Put a new state on the main branch."""
        listing = json.dumps([self.head, len(self.commits), sorted((p, b.oid) for p, b in tree.items())])
        made = Commit(git_oid(listing.encode()), dict(tree), message, self.head or None)
        self.commits[made.oid] = made
        self.head = made.oid
        return made

    def at(self, revision: str) -> Commit:
        """Return the state that a branch, a tag or a commit names."""
        oid = self.head if revision == "main" else self.tags.get(revision, revision)
        if oid not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return self.commits[oid]


class Refusal(Exception):  # noqa: N818 - an answer
    """An answer other than 200."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass
class Request:
    """What was asked, without headers."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes = field(repr=False, default=b"")
    note: Any = None  # paths of a preupload, operations of a commit
    status: int = 0
    time_s: float = 0.0  # monotonic

    @property
    def line(self) -> str:
        """Method and path, as faults name them."""
        return f"{self.method} {self.path}"

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What is sent back."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """A request that goes wrong: a status instead of an answer, or the connection cut (status 0)."""

    route: str  # regular expression; "POST .*/commit/.*"
    times: int = 1
    n_before: int = 0  # as many pass
    status: int = 0
    retry_after_s: int | None = None
    is_late: bool = False  # what was asked is done, and only the answer fails


@dataclass
class Meanwhile:
    """Something that happens, once, just before a request is answered."""

    route: str
    act: Callable[[], object]
    n_before: int


class ImitationHub:
    """One Hub with one user."""

    def __init__(self, folder: Path, *, token: str = "hf_imitation", page_files: int = 1000) -> None:  # noqa: S107
        self.folder, self.token, self.page_files = folder, token, page_files
        self.cas = folder / "cas"
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.meanwhile: list[Meanwhile] = []
        self.regular_limit = 10_000_000  # bytes; what is larger is a large file
        self.is_store_broken = False  # the Xet store cannot be written
        self.is_verify_failing = False  # the LFS store says that what came is not what was announced
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        (self.folder / "lfs").mkdir(parents=True, exist_ok=True)
        self.cas.mkdir(exist_ok=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # What a test does to it

    def create(self, name: str, files: Mapping[str, bytes] | None = None) -> Repo:
        """Make a repository that holds small files, beside the .gitattributes that every one has."""
        repo = self.repos.setdefault(name, Repo(name, is_private=False))
        repo.commit({".gitattributes": small(GITATTRIBUTES)}, "initial commit")
        if files:
            self.put(name, files)
        return repo

    def put(self, name: str, files: Mapping[str, bytes | None]) -> Commit:
        """Commit small files as somebody else would; None removes one."""
        repo = self.repos[name]
        tree = dict(repo.at("main").tree)
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = small(content)
        return repo.commit(tree, "by somebody else")

    def damage(self, name: str, path: str) -> None:
        """Let the store hold something else under a path than what was sent, of the same length."""
        repo = self.repos[name]
        commit = repo.at("main")
        blob = commit.tree[path]
        wrong = "0" * 64
        if blob.sha256 is None:
            content = bytes([blob.content[0] ^ 1]) + blob.content[1:]
            blob = small(content)
        else:
            blob = replace(blob, sha256=wrong, xet=wrong, oid=pointer_oid(wrong, blob.n_bytes))
        repo.commits[commit.oid] = replace(commit, tree={**commit.tree, path: blob})

    def fail(self, route: str, *, times: int = 1, status: int = 0, **more: Any) -> None:
        """Let requests go wrong."""
        self.faults.append(Fault(route, times=times, status=status, **more))

    def before(self, route: str, act: Callable[[], object], *, n_before: int = 0) -> None:
        """Let something happen before a request is answered; it may wait, and so hold the request."""
        self.meanwhile.append(Meanwhile(route, act, n_before))

    def asked(self, route: str) -> list[Request]:
        """The requests to a route, in order."""
        return [request for request in self.requests if re.fullmatch(route, request.line)]

    def tree(self, name: str, revision: str = "main") -> dict[str, Blob]:
        """What a repository holds."""
        return dict(self.repos[name].at(revision).tree)

    # What it answers

    def answer(self, request: Request, authorization: str | None) -> Answer | None:
        """Answer a request; None cuts the connection."""
        request.time_s = time.monotonic()
        with self._lock:
            self.requests.append(request)
            fault = next((each for each in self.faults if is_due(each, request)), None)
            due = [each for each in self.meanwhile if is_due(each, request)]
            if fault:
                fault.times -= 1
            for each in due:
                self.meanwhile.remove(each)
        for each in due:
            each.act()
        if fault and not fault.is_late:
            return self._go_wrong(request, fault)
        try:
            answer = self._route(request, authorization)
        except Refusal as refusal:
            answer = as_answer(refusal)
        request.status = answer.status
        return self._go_wrong(request, fault) if fault else answer

    def _go_wrong(self, request: Request, fault: Fault) -> Answer | None:
        request.status = fault.status
        if not fault.status:
            return None
        headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
        return replace(as_answer(Refusal(fault.status, "as asked for")), headers=headers)

    def _route(self, request: Request, authorization: str | None) -> Answer:
        is_user = authorization == f"Bearer {self.token}"
        if authorization and not is_user:
            raise Refusal(401, "Invalid credentials in Authorization header")
        for method, pattern, handle in ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and request.method in method.split():
                named = {name: unquote(value) for name, value in found.groupdict().items()}
                repo = self.repos.get(named.get("repo", ""))
                is_open = repo is not None and not repo.is_private and method in {"GET", "HEAD GET"}
                if not is_user and not is_open:
                    raise Refusal(401, "Invalid username or password.")
                if "repo" in named and repo is None:
                    raise Refusal(404, "Repository not found", code="RepoNotFound")
                with self._lock:
                    return handle(self, request, repo, named)
        raise Refusal(404, f"no {request.line}")

    def find_large(self, sha256: str) -> tuple[int, str | None] | None:
        """Return length and Xet hash of a large file that has been stored, if it has."""
        lfs = self.folder / "lfs" / sha256
        if lfs.is_file():
            return lfs.stat().st_size, None
        for shard in sorted((self.cas / "xet" / "xorbs" / "shards").glob("*.mdb")):
            for each, xet, n_bytes in files_in_shard(shard.read_bytes()):
                if each == sha256:
                    return n_bytes, xet
        return None

    def mode(self, path: str, n_bytes: int, sample: bytes) -> str:
        """Return how a file is to be uploaded."""
        is_large = n_bytes > self.regular_limit or LARGE.fullmatch(path) or b"\0" in sample
        return "lfs" if is_large else "regular"


def is_due(each: Fault | Meanwhile, request: Request) -> bool:
    """Whether a request is the one that something waits for; one that comes too early is counted."""
    if not re.fullmatch(each.route, request.line) or (isinstance(each, Fault) and each.times <= 0):
        return False
    each.n_before -= 1
    return each.n_before < 0


def small(content: bytes) -> Blob:
    """Return a small file."""
    return Blob(n_bytes=len(content), oid=git_oid(content), content=content)


def git_oid(content: bytes) -> str:
    """Return the name that git has for a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - as git does


def pointer_oid(sha256: str, n_bytes: int) -> str:
    """Return the name that git has for the pointer to a large file."""
    return git_oid(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {n_bytes}\n".encode()
    )


def files_in_shard(shard: bytes) -> Iterator[tuple[str, str, int]]:
    """Yield SHA-256, Xet hash and length of each file that a Xet shard describes (format: xet-core, MDB shard)."""
    at = 48
    while shard[at : at + 32] != b"\xff" * 32:
        xet = hash_text(shard[at : at + 32])
        flags, n_entries = struct.unpack_from("<II", shard, at + 32)
        at += 48
        n_bytes = sum(struct.unpack_from("<I", shard, at + 48 * i + 36)[0] for i in range(n_entries))
        at += 48 * n_entries * (2 if flags >> 31 & 1 else 1)  # verification entries
        if flags >> 30 & 1:
            yield hash_text(shard[at : at + 32]), xet, n_bytes
            at += 48


def hash_text(raw: bytes) -> str:
    """Return a hash as Xet writes it: each eight bytes in reverse."""
    return b"".join(raw[i : i + 8][::-1] for i in range(0, 32, 8)).hex()


def as_answer(refusal: Refusal) -> Answer:
    """Return a refusal as the Hub words it."""
    headers = {"X-Error-Message": refusal.message}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return Answer(json.dumps({"error": refusal.message}).encode(), refusal.status, headers)


def as_json(value: Any, **headers: str) -> Answer:
    """Return a value as an answer."""
    return Answer(json.dumps(value).encode(), headers={"Content-Type": "application/json", **headers})


def whoami(hub: ImitationHub, request: Request, repo: Any, named: dict[str, str]) -> Answer:
    return as_json({"type": "user", "name": "someone", "fullname": "Someone", "orgs": [], "auth": {}})


def create_repo(hub: ImitationHub, request: Request, repo: Any, named: dict[str, str]) -> Answer:
    asked = request.json()
    name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
    url = f"{hub.endpoint}/datasets/{name}"
    if name in hub.repos:
        answer = as_answer(Refusal(409, "You already created this dataset repo"))
        return replace(answer, body=json.dumps({"error": "exists", "url": url}).encode())
    hub.create(name).is_private = asked.get("visibility") == "private"
    return as_json({"url": url, "name": name, "id": git_oid(name.encode())})


def validate_yaml(hub: ImitationHub, request: Request, repo: Any, named: dict[str, str]) -> Answer:
    content = request.json()["content"]
    found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if not found:
        return as_json(
            {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        )
    try:
        yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return Answer(json.dumps({"errors": [{"message": str(error)}]}).encode(), 400)
    return as_json({"errors": [], "warnings": []})


def info(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    commit = repo.at(named.get("revision", "main"))
    siblings = [{"rfilename": path} for path in sorted(commit.tree)]
    about = {"_id": git_oid(repo.name.encode()), "id": repo.name, "author": repo.name.partition("/")[0]}
    return as_json(
        {**about, "sha": commit.oid, "private": repo.is_private, "gated": False, "disabled": False}
        | {"tags": [], "downloads": 0, "likes": 0, "siblings": siblings}
    )


def refs(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
    tags = [
        {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid}
        for tag, oid in sorted(repo.tags.items())
    ]
    return as_json({"branches": [branch], "converts": [], "tags": tags})


def create_tag(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    tag = request.json()["tag"]
    if tag in repo.tags:
        raise Refusal(409, "Tag reference exists already")
    repo.tags[tag] = repo.at(named["revision"]).oid
    return as_json({})


def entry(path: str, blob: Blob) -> dict[str, Any]:
    """Return a file as the tree and the paths' information have it."""
    found: dict[str, Any] = {"type": "file", "path": path, "size": blob.n_bytes, "oid": blob.oid}
    if blob.sha256 is not None:
        found["lfs"] = {"oid": blob.sha256, "size": blob.n_bytes, "pointerSize": 135}
    if blob.xet is not None:
        found["xetHash"] = blob.xet
    return found


def entries(tree: Mapping[str, Blob]) -> list[dict[str, Any]]:
    """Return files and folders of a commit."""
    folders = {path[:i] for path in tree for i, letter in enumerate(path) if letter == "/"}
    listed = [
        {"type": "directory", "path": path, "size": 0, "oid": git_oid(path.encode())} for path in folders
    ]
    return sorted([*listed, *(entry(*each) for each in tree.items())], key=lambda each: str(each["path"]))


def list_tree(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    commit = repo.at(named["revision"])
    folder = named.get("path") or ""
    prefix = f"{folder}/" if folder else ""
    is_recursive = request.query.get("recursive") in (["true"], ["True"], ["1"])
    found = [each for each in entries(commit.tree) if str(each["path"]).startswith(prefix)]
    if not is_recursive:
        found = [each for each in found if "/" not in str(each["path"])[len(prefix) :]]
    if request.query.get("expand") in (["true"], ["True"], ["1"]):
        last = {"id": commit.oid, "title": commit.message, "date": "2026-11-01T00:00:00.000Z"}
        found = [{**each, "lastCommit": last} for each in found]
    start = int(request.query.get("cursor", ["0"])[0])
    page, end = found[start : start + hub.page_files], start + hub.page_files
    if end >= len(found):
        return as_json(page)
    query = urlencode({**{name: value[0] for name, value in request.query.items()}, "cursor": end})
    return as_json(page, Link=f'<{hub.endpoint}{request.path}?{query}>; rel="next"')


def paths_info(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    try:
        paths = request.json()["paths"]
    except ValueError:
        paths = parse_qs(request.body.decode()).get("paths", [])
    listed = {str(each["path"]): each for each in entries(repo.at(named["revision"]).tree)}
    return as_json([listed[path] for path in paths if path in listed])


def preupload(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    commit = repo.at(named["revision"])
    files = request.json()["files"]
    request.note = [file["path"] for file in files]
    answered = []
    for file in files:
        mode = hub.mode(file["path"], file["size"], base64.b64decode(file["sample"]))
        there = commit.tree.get(file["path"])
        oid = {} if there is None else {"oid": there.sha256 or there.oid}
        answered.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **oid})
    return as_json({"files": answered, "commitOid": commit.oid})


def xet_token(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    store = hub.cas
    if hub.is_store_broken:
        store = hub.folder / "a file"
        store.write_bytes(b"no folder can be made below this")
    url, expires = f"local://{store}", int(time.time()) + 3600
    return as_json(
        {"accessToken": "xet_imitation", "exp": expires, "casUrl": url},
        **{
            "X-Xet-Cas-Url": url,
            "X-Xet-Access-Token": "xet_imitation",
            "X-Xet-Token-Expiration": str(expires),
        },
    )


def lfs_batch(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    asked = request.json()
    objects = []
    for each in asked["objects"]:
        answered = {"oid": each["oid"], "size": each["size"]}
        if hub.find_large(each["oid"]) is None:
            upload = {"href": f"{hub.endpoint}/lfs/{each['oid']}", "header": {}}
            verify = {"href": f"{hub.endpoint}/datasets/{repo.name}.git/info/lfs/verify"}
            answered["actions"] = {"upload": upload, "verify": verify}
        objects.append(answered)
    return as_json({"transfer": "basic", "objects": objects})


def lfs_put(hub: ImitationHub, request: Request, oid: str) -> Answer:
    """Store an object; whoever knows the address may, as on S3."""
    (hub.folder / "lfs" / oid).write_bytes(request.body)
    return Answer(headers={"ETag": '"etag"'})


def lfs_verify(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    asked = request.json()
    stored = hub.folder / "lfs" / asked["oid"]
    is_whole = stored.is_file() and hashlib.sha256(stored.read_bytes()).hexdigest() == asked["oid"]
    if hub.is_verify_failing or not is_whole or stored.stat().st_size != asked["size"]:
        stored.unlink(missing_ok=True)
        raise Refusal(422, "the object is not what was announced")
    return as_json({})


def commit(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    """Commit all that is asked for, or nothing."""
    lines = [json.loads(line) for line in request.body.splitlines()]
    header = lines[0]["value"]
    request.note = [(line["key"], line["value"]["path"]) for line in lines[1:]]
    parent = header.get("parentCommit")
    if parent is not None and parent not in repo.commits:
        raise Refusal(400, f"parentCommit {parent} is not a commit of this repository")
    if named["revision"] != "main":
        raise Refusal(404, "no such branch", code="RevisionNotFound")
    if parent is not None and parent != repo.head:
        raise Refusal(412, STALE)
    tree = dict(repo.at("main").tree)
    for line in lines[1:]:
        apply(hub, tree, line["key"], line["value"])
    made = repo.commit(tree, header["summary"])
    url = f"{hub.endpoint}/datasets/{repo.name}/commit/{made.oid}"
    return as_json({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def apply(hub: ImitationHub, tree: dict[str, Blob], kind: str, value: dict[str, Any]) -> None:
    """Apply one operation of a commit to what will be its tree."""
    path = value["path"]
    if kind == "file":
        content = base64.b64decode(value["content"])
        if len(content) > hub.regular_limit or LARGE.fullmatch(path):
            raise Refusal(400, f"{path}: your push was rejected because it contains binary or large files")
        tree[path] = small(content)
    elif kind == "lfsFile":
        stored = hub.find_large(value["oid"])
        if stored is None or stored[0] != value.get("size", stored[0]):
            raise Refusal(400, f"{path}: LFS pointer pointed to a file that does not exist")
        n_bytes, xet = stored
        oid = pointer_oid(value["oid"], n_bytes)
        tree[path] = Blob(n_bytes=n_bytes, oid=oid, sha256=value["oid"], xet=xet)
    elif kind == "deletedFile":
        if path not in tree:
            raise Refusal(404, f"A file with this name doesn't exist: {path}", code="EntryNotFound")
        del tree[path]
    else:
        raise Refusal(400, f"{kind} is not imitated")


def resolve(hub: ImitationHub, request: Request, repo: Repo, named: dict[str, str]) -> Answer:
    """Answer with a file, or with where its content lies in the Xet store."""
    found = repo.at(named["revision"])
    blob = found.tree.get(named["path"])
    if blob is None:
        raise Refusal(404, "Entry not found", code="EntryNotFound")
    headers = {"X-Repo-Commit": found.oid, "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
    if blob.sha256 is None:
        return Answer(blob.content, headers=headers)
    headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.n_bytes)}
    stored = hub.folder / "lfs" / blob.sha256
    if blob.xet is not None:
        token = f"{hub.endpoint}/api/datasets/{repo.name}/xet-read-token/{found.oid}"
        headers |= {"X-Xet-Hash": blob.xet, "X-Xet-Refresh-Route": token}
        headers["Link"] = f'<{token}>; rel="xet-auth"'
    if stored.is_file():
        return Answer(stored.read_bytes(), headers=headers)
    if request.method == "GET":
        raise Refusal(501, "the content of Xet files is read with hf_xet")
    return Answer(headers={**headers, "Content-Length": str(blob.n_bytes)})


Handle = Callable[[ImitationHub, Request, Any, dict[str, str]], Answer]
ROUTES: list[tuple[str, str, Handle]] = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create_repo),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("GET", f"/api/datasets/{REPO}", info),
    ("GET", f"/api/datasets/{REPO}/revision/{REVISION}", info),
    ("GET", f"/api/datasets/{REPO}/refs", refs),
    ("POST", f"/api/datasets/{REPO}/tag/{REVISION}", create_tag),
    ("GET", f"/api/datasets/{REPO}/tree/{REVISION}", list_tree),
    ("GET", f"/api/datasets/{REPO}/tree/{REVISION}/(?P<path>.+)", list_tree),
    # Which paths there are is read with a POST, because there can be many.
    ("POST", f"/api/datasets/{REPO}/paths-info/{REVISION}", paths_info),
    ("POST", f"/api/datasets/{REPO}/preupload/{REVISION}", preupload),
    ("POST", f"/api/datasets/{REPO}/commit/{REVISION}", commit),
    ("GET", f"/api/datasets/{REPO}/xet-read-token/{REVISION}", xet_token),
    ("GET ", f"/api/datasets/{REPO}/xet-write-token/{REVISION}", xet_token),  # for users alone
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", lfs_batch),
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/verify", lfs_verify),
    ("HEAD GET", f"/datasets/{REPO}/resolve/{REVISION}/(?P<path>.+)", resolve),
]
WRITES = re.compile(
    r"(POST|PUT|DELETE|PATCH) (?!.*/(paths-info|validate-yaml)(/|$)).*|GET .*/xet-write-token/.*"
)
"""Requests that change something, or get ready to."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        request = Request(self.command, parts.path, parse_qs(parts.query), self._body())
        hub: ImitationHub = self.server.hub  # type: ignore[attr-defined]
        found = re.fullmatch(r"PUT /lfs/([0-9a-f]{64})", request.line)
        if found:
            hub.requests.append(request)
            answer: Answer | None = lfs_put(hub, request, found[1])
        else:
            answer = hub.answer(request, self.headers.get("Authorization"))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        answer.headers.setdefault("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while n_bytes := int(self.rfile.readline(), 16):
            body += self.rfile.read(n_bytes)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the requests are recorded."""
