"A small Hub on loopback: as much of the Hugging Face Hub's HTTP interface as a model or a static Space needs, in memory, with faults on order."
import base64, hashlib, http.server, json, re, socket, struct, threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

TOKENS = {"hf_writer": ("casey", "write"), "hf_reader": ("casey", "read"), "hf_member": ("robin", "write"), "hf_fine": ("casey", "fineGrained"), "hf_narrow": ("casey", "fineGrained")}
MEMBERS = {"casey": [("team", "write"), ("club", "read")], "robin": []}
GRANTED = {"hf_fine": [{"entity": {"type": "user", "name": "casey"}, "permissions": ["repo.content.read", "repo.write"]}],
           "hf_narrow": [{"entity": {"type": "model", "name": "casey/other"}, "permissions": ["repo.write"]}]}
NAME = r"(?P<repo>(spaces/)?[^/]+/[^/]+)"  # a Space is kept under spaces/user/name
REPO = r"/api/(models/|(?=spaces/))" + NAME
ROUTES = [(name, method, re.compile(path + "$")) for name, method, path in [
    ("whoami", "GET", "/api/whoami-v2"), ("create", "POST", "/api/repos/create"), ("delete", "DELETE", "/api/repos/delete"), ("yaml", "POST", "/api/validate-yaml"),
    ("access", "GET", REPO + "/auth-check/write"), ("branch", "POST", REPO + "/branch/(?P<revision>.+)"), ("info", "GET", REPO + "(/revision/(?P<revision>.+))?"),
    ("preupload", "POST", REPO + "/preupload/(?P<revision>.+)"), ("batch", "POST", "/" + NAME + r"\.git/info/lfs/objects/batch"), ("upload", "PUT", "/storage/(?P<oid>.+)"),
    ("verify", "POST", "/storage-verify"), ("commits", "GET", REPO + "/commits/(?P<revision>.+)"), ("commit", "POST", REPO + "/commit/(?P<revision>.+)"),
    ("tree", "GET", REPO + "/tree/(?P<revision>[^/]+)(/(?P<path>.+))?"), ("discussions", "GET", REPO + "/discussions"), ("xet", "GET", REPO + "/xet-write-token/.+"),
    ("download", "GET", "/" + NAME + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)"), ("head", "HEAD", "/" + NAME + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)")]]
NEEDS_A_TOKEN = {"whoami", "create", "delete", "access", "branch", "preupload", "batch", "commit"}

FIRST_PAGE = {"README.md": b"---\nsdk: static\n---\n", "index.html": b"<!doctype html>", "style.css": b"body {}"}


@dataclass
class Fault:
    "What goes wrong at a step: a status, or bytes (in place of the answer), or `cut` (the connection, amid the request), `lost` (the answer, after the work), `corrupt` (the body), `late` (the answer)"
    step: str
    what: object
    times: int = 1
    headers: dict = field(default_factory=dict)


@dataclass
class Repository:
    private: bool = False
    sdk: str = "static"  # of a Space
    refs: dict = field(default_factory=dict)  # ref -> list of commits: (id, title, {path: bytes}), the newest last


class Refused(Exception):
    def __init__(self, status, message, headers=None, **more): self.status, self.headers, self.body = status, headers or {}, json.dumps({"error": message, **more})


class HubServer:
    "Start it with `with HubServer() as hub:`; `hub.faults` is the plan, `hub.steps` the record"
    def __init__(self, large=10_000, faults=()):
        self.large, self.faults, self.steps, self.repositories, self.arrived, self.storage, self.meanwhile, self.notice, self.ignored = large, list(faults), [], {}, {}, {}, None, None, ()
        self.attached = ExitStack()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(.02,), daemon=True).start()
        return self

    def attach(self, cache, token="hf_writer"):
        "Until the end, the Hub's client in this process asks this server, with a token and a cache of its own"
        from huggingface_hub import constants, hf_api
        here = dict(ENDPOINT=self.address, HUGGINGFACE_CO_URL_TEMPLATE=self.address + "/{repo_id}/resolve/{revision}/{filename}", HF_HUB_CACHE=str(cache),
                    HF_HUB_DISABLE_XET=True, HF_HUB_OFFLINE=False)
        self.attached.enter_context(patch.multiple(constants, **here))
        self.attached.enter_context(patch.object(hf_api.api, "endpoint", self.address))  # of `huggingface_hub.create_repo` and its like
        self.attached.enter_context(patch.dict("os.environ", HF_TOKEN=token))
        return self

    def __exit__(self, *error):
        self.attached.close()
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo, ref, title, files, gone=()):
        "A commit on top of a branch"
        commits = self.repositories[repo].refs.setdefault(ref, [])
        commits.append((hashlib.sha1(f"{repo}{ref}{title}{len(commits)}".encode()).hexdigest(), title, {path: content for path, content in {**(commits[-1][2] if commits else {}), **files}.items() if path not in gone}))
        return commits[-1][0]

    def create(self, repo, private=False, sdk="static", **files):
        "A repository with its first commit, in which a Space has the Hub's own page, and another one when there are files"
        self.repositories[repo] = Repository(private, sdk)
        self.add(repo, "main", "initial commit", {".gitattributes": b"*.safetensors filter=lfs\n", **(FIRST_PAGE if repo.startswith("spaces/") else {})})
        if files: self.add(repo, "main", "files", files)

    def pushed(self, repo, ref="main"):
        "Commits of a branch after the first one"
        return self.repositories[repo].refs.get(ref, [])[1:] if repo in self.repositories else []

    def stored(self, path, content):
        "What the Hub says about a file"
        about = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
        return about | ({"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}} if len(content) >= self.large else {})


class Handler(http.server.BaseHTTPRequestHandler):
    def handle_any(self):
        path, sent = urlsplit(self.path).path, int(self.headers.get("Content-Length") or 0)
        self.step, found = next(((name, match.groupdict()) for name, method, route in ROUTES if method == self.command and (match := route.match(path))), ("other", {}))
        self.hub.steps.append(self.step)
        if self.hub.notice: self.hub.notice(self.step)
        fault = next((fault for fault in self.hub.faults if fault.step == self.step and fault.times), None)
        if fault: fault.times -= 1
        what = fault and fault.what
        body = self.rfile.read(sent // 2 if what == "cut" else sent)
        if what == "cut": return self.hang_up()
        if isinstance(what, bytes): return self.answer(what, **{"Content-Type": "text/html", **fault.headers})
        if isinstance(what, int): return self.answer(json.dumps({"error": "on order"}), what, **fault.headers)
        try: (answer, headers), status = self.work(body, **{name: value and unquote(value) for name, value in found.items()}), 200
        except Refused as refused: answer, status, headers = refused.body, refused.status, refused.headers
        if what == "late": threading.Event().wait(1)
        if what == "lost": return self.hang_up()
        self.answer(answer[:-1] + bytes([answer[-1] ^ 1]) if what == "corrupt" else answer, status, **headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def hang_up(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection, self.wfile = True, type("Nowhere", (), {"flush": lambda self: None, "close": lambda self: None, "closed": True})()

    def answer(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else content.encode()
        self.send_response(status)
        for header, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items(): self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(content)

    def log_message(self, *arguments): pass

    def work(self, body, repo=None, revision=None, **found):
        "The content of an answer and its headers, or `Refused`"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if (token or self.step in NEEDS_A_TOKEN) and token not in TOKENS: raise Refused(401, "Invalid credentials in Authorization header", {"X-Error-Message": "Invalid credentials in Authorization header"})
        self.user, self.role = TOKENS.get(token, (None, None))
        spaces = {self.user: "admin", **dict(MEMBERS.get(self.user, []))}
        if repo:
            self.repository = self.hub.repositories.get(repo)
            if not self.repository or (self.repository.private and repo.split("/")[-2] not in spaces): raise Refused(404, "Repository not found", {"X-Error-Code": "RepoNotFound"})
            self.can_write = self.role == "write" and spaces.get(repo.split("/")[-2]) in ("admin", "write") or self.role == "fineGrained" and token == "hf_fine" and repo.removeprefix("spaces/").startswith("casey/")
        content = getattr(self, f"on_{self.step}")(body, repo=repo, revision=revision or "main", **found)
        return content if isinstance(content, tuple) else (json.dumps(content).encode(), {})

    def commits(self, revision):
        for commits in self.repository.refs.values():
            for place, commit in enumerate(commits):
                if commit[0] == revision: return commits[:place + 1]
        if revision not in self.repository.refs: raise Refused(404, "Revision not found", {"X-Error-Code": "RevisionNotFound"})
        return self.repository.refs[revision]

    def on_other(self, body, **found): raise Refused(404, "not here")

    def on_xet(self, body, **found): raise Refused(404, "no xet here")

    def on_whoami(self, body, **found):
        granted = {"fineGrained": {"global": [], "scoped": GRANTED[token]}} if (token := self.headers["Authorization"].removeprefix("Bearer ")) in GRANTED else {}
        return {"type": "user", "name": self.user, "orgs": [{"type": "org", "name": name, "roleInOrg": role} for name, role in MEMBERS[self.user]],
                "auth": {"type": "access_token", "accessToken": {"displayName": "laptop", "role": self.role, **granted}}}

    def on_create(self, body, **found):
        wanted = json.loads(body)
        repo = f"{'spaces/' if wanted.get('type') == 'space' else ''}{wanted.get('organization') or self.user}/{wanted['name']}"
        if self.role == "read": raise Refused(403, "You don't have the rights to create a model under this namespace")
        if self.hub.meanwhile: self.hub.meanwhile("create")
        if repo in self.hub.repositories: raise Refused(409, "You already created this model repo", url=f"{self.hub.address}/{repo}")
        self.hub.create(repo, private=wanted.get("visibility") == "private" or wanted.get("private", False), sdk=wanted.get("sdk"))
        return {"url": f"{self.hub.address}/{repo}"}

    def on_delete(self, body, **found):
        wanted = json.loads(body)
        repo = f"{wanted.get('organization') or self.user}/{wanted['name']}"
        if self.role == "read": raise Refused(403, "You don't have the rights to delete this model")
        if self.hub.repositories.pop(repo, None) is None: raise Refused(404, "Repository not found", {"X-Error-Code": "RepoNotFound"})
        return {}

    def on_commits(self, body, revision, **found):
        told = [{"id": oid, "title": title, "message": "", "authors": [{"user": "casey"}], "date": "2026-01-01T00:00:00.000Z"} for oid, title, _ in self.commits(revision)]
        return told[::-1]

    def on_yaml(self, body, **found):
        if "license: [" in json.loads(body)["content"]: raise Refused(400, "license must be a string")
        return {"errors": [], "warnings": []}

    def on_access(self, body, **found):
        if not self.can_write: raise Refused(403, "no write access")
        return {}

    def on_info(self, body, repo, revision):
        commits = self.commits(revision)
        name = repo.removeprefix("spaces/")
        about = {"modelId": name} if name == repo else {"sdk": self.repository.sdk}
        return {"_id": "1", "id": name, **about, "private": self.repository.private, "sha": commits[-1][0], "siblings": [{"rfilename": path, "size": len(content)} for path, content in commits[-1][2].items()], "tags": []}

    def on_branch(self, body, repo, revision):
        if not self.can_write: raise Refused(403, "no write access")
        if revision in self.repository.refs: raise Refused(409, "this branch exists")
        self.repository.refs[revision] = list(self.repository.refs["main"])
        return {}

    def on_preupload(self, body, revision, **found):
        files = self.commits(revision)[-1][2]
        def told(file):
            stored = self.hub.stored(file["path"], files[file["path"]]) if file["path"] in files else {}
            return {"path": file["path"], "uploadMode": "lfs" if file["size"] >= self.hub.large else "regular", "shouldIgnore": file["path"] in self.hub.ignored, "oid": stored.get("lfs", stored).get("oid")}
        return {"files": [told(file) for file in json.loads(body)["files"]]}

    def on_batch(self, body, **found):
        def told(wanted):
            actions = {"upload": {"href": f"{self.hub.address}/storage/{wanted['oid']}"}, "verify": {"href": f"{self.hub.address}/storage-verify"}}
            return wanted | ({} if wanted["oid"] in self.hub.storage else {"actions": actions})
        return {"transfer": "basic", "objects": [told(wanted) for wanted in json.loads(body)["objects"]]}

    def on_upload(self, body, oid, **found):
        if hashlib.sha256(body).hexdigest() != oid: raise Refused(400, "the sum does not match")
        self.hub.arrived[oid] = body
        return {}

    def on_verify(self, body, **found):
        oid = json.loads(body)["oid"]
        if oid not in self.hub.arrived: raise Refused(404, "not stored")
        self.hub.storage[oid] = self.hub.arrived[oid]
        return {}

    def on_commit(self, body, repo, revision):
        if self.hub.meanwhile: self.hub.meanwhile("commit")
        proposed = "create_pr=1" in self.path
        if not (self.can_write or proposed): raise Refused(403, "no write access")
        commits, lines = self.commits(revision), [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, commits[-1][0]): raise Refused(412, "A commit has happened since. Please refresh and try again.")
        added = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) if line["key"] == "file" else self.hub.storage[line["value"]["oid"]] for line in lines[1:] if line["key"] != "deletedFile"}
        gone = [line["value"]["path"] for line in lines[1:] if line["key"] == "deletedFile"]
        if missing := [path for path in gone if path not in commits[-1][2]]: raise Refused(400, f"no such file: {missing[0]}")
        number = 1 + sum(ref.startswith("refs/pr/") for ref in self.repository.refs)
        if proposed: self.repository.refs[revision := f"refs/pr/{number}"] = list(commits)
        oid = self.hub.add(repo, revision, header["summary"], added, gone)
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/{repo}/commit/{oid}", "hookOutput": "", **({"pullRequestUrl": f"{self.hub.address}/{repo}/discussions/{number}"} if proposed else {})}

    def on_tree(self, body, revision, path, **found):
        if path: raise Refused(404, "Entry not found", {"X-Error-Code": "EntryNotFound"})
        return [self.hub.stored(path, content) for path, content in self.commits(revision)[-1][2].items()]

    def on_discussions(self, body, repo, **found):
        numbers = [ref.rpartition("/")[2] for ref in self.repository.refs if ref.startswith("refs/pr/")]
        told = [{"title": "Upload model", "num": int(number), "author": {"name": "casey"}, "createdAt": "2026-01-01T00:00:00.000Z", "status": "open", "repo": {"name": repo, "type": "model"}, "isPullRequest": True} for number in numbers]
        return {"discussions": told, "count": len(told), "start": 0}

    def on_download(self, body, revision, path, **found):
        commit = self.commits(revision)[-1]
        if path not in commit[2]: raise Refused(404, "Entry not found", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit[0]})
        about = self.hub.stored(path, commit[2][path])
        return commit[2][path], {"ETag": f'"{about.get("lfs", about)["oid"]}"', "X-Repo-Commit": commit[0], "Content-Type": "application/octet-stream"}

    on_head = on_download
