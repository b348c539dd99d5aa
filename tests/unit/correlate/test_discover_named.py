import hashlib
import json
from pathlib import Path

import pytest

from rtscope.config.settings import Settings
from rtscope.correlate.discover_named import Named, named_addresses, named_from_url
from rtscope.errors import UsageError
from tests.unit.procfs.tree import Tree, rooted


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return rooted(tmp_path, monkeypatch)


def _named(tree: Tree, **environ: str) -> list[tuple[str, str, str]]:
    found = named_addresses(tree.host, Settings(environ=environ))
    return [(one.kind, one.address, one.how) for one in found]


def _context(tree: Tree, directory: str, name: str, host: str) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()
    document = {"Name": name, "Endpoints": {"docker": {"Host": host}}}
    tree.file(f"{directory}/contexts/meta/{digest}/meta.json", json.dumps(document))


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("docker:///var/run/docker.sock", "docker", "/run/docker.sock"),
        ("containerd:///c", "containerd", "/c"),
        ("cri:///c", "cri", "/c"),
        ("podman:///p", "podman", "/p"),
        ("oci:///run/runc", "oci", "/run/runc"),
        ("unix:///x", "unix", "/x"),
        ("/x", "unix", "/x"),
        ("tcp://h:1", "docker", "tcp://h:1"),
        ("https://h", "docker", "https://h"),
        ("docker+tcp://h:1", "docker", "tcp://h:1"),
    ],
)
def test_addresses_of_the_flag(text: str, kind: str, address: str) -> None:
    assert named_from_url(text, "--host", is_named=True) == Named(
        kind=kind, address=address, how="--host", is_named=True
    )


@pytest.mark.parametrize("text", ["x", "docker://relative", "what:///x", "tcp://", "", "ssh://h"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_from_url(text, "--host")
    assert "docker://" in (caught.value.hint or "")


def test_docker_host_beats_the_context_which_beats_the_stored_one(tree: Tree) -> None:
    _context(tree, "/home/.docker", "one", "unix:///one.sock")
    _context(tree, "/home/.docker", "two", "tcp://two:2376")
    tree.file("/home/.docker/config.json", '{"currentContext": "one"}')
    stored = _named(tree, HOME="/home")
    assert stored == [("docker", "/one.sock", "/home/.docker/config.json (one)")]
    chosen = _named(tree, HOME="/home", DOCKER_CONTEXT="two")
    assert chosen == [("docker", "tcp://two:2376", "DOCKER_CONTEXT (two)")]
    host = _named(tree, HOME="/home", DOCKER_CONTEXT="two", DOCKER_HOST="unix:///h.sock")
    assert host == [("docker", "/h.sock", "DOCKER_HOST")]


def test_docker_config_moves_the_directory(tree: Tree) -> None:
    _context(tree, "/conf", "one", "unix:///one.sock")
    tree.file("/conf/config.json", '{"currentContext": "one"}')
    assert _named(tree, HOME="/home", DOCKER_CONFIG="/conf")[0][1] == "/one.sock"


@pytest.mark.parametrize("content", ['{"currentContext": "default"}', "{}", "broken", "[]"])
def test_a_stored_default_context_and_a_broken_file_name_nothing(tree: Tree, content: str) -> None:
    tree.file("/home/.docker/config.json", content)
    assert _named(tree, HOME="/home") == []


def test_a_context_that_is_not_there_is_said(tree: Tree) -> None:
    (one,) = named_addresses(
        tree.host, Settings(environ={"HOME": "/home", "DOCKER_CONTEXT": "gone"})
    )
    assert "gone is not in" in one.trouble


def test_other_clients_variables(tree: Tree) -> None:
    found = _named(
        tree,
        CONTAINERD_ADDRESS="/var/run/c.sock",
        CONTAINER_RUNTIME_ENDPOINT="unix:///cri.sock",
        CONTAINER_HOST="unix:///p.sock",
    )
    assert found == [
        ("containerd", "/run/c.sock", "CONTAINERD_ADDRESS"),
        ("cri", "/cri.sock", "CONTAINER_RUNTIME_ENDPOINT"),
        ("podman", "/p.sock", "CONTAINER_HOST"),
    ]


def test_crictl_files_and_their_order(tree: Tree) -> None:
    tree.file("/etc/crictl.yaml", 'runtime-endpoint: "unix:///etc.sock"\ntimeout: 2\n')
    tree.file("/mine.yaml", "image-endpoint: unix:///i.sock\nruntime-endpoint: unix:///m.sock\n")
    assert _named(tree) == [("cri", "/etc.sock", "/etc/crictl.yaml")]
    assert _named(tree, CRI_CONFIG_FILE="/mine.yaml") == [("cri", "/m.sock", "/mine.yaml")]
    variable = _named(tree, CONTAINER_RUNTIME_ENDPOINT="unix:///v.sock")
    assert variable == [("cri", "/v.sock", "CONTAINER_RUNTIME_ENDPOINT")]


def test_nerdctls_file(tree: Tree) -> None:
    tree.file("/etc/nerdctl/nerdctl.toml", 'debug = false\naddress = "unix:///run/n.sock"\n')
    assert _named(tree) == [("containerd", "/run/n.sock", "/etc/nerdctl/nerdctl.toml")]


def test_configured_sockets(tree: Tree) -> None:
    settings = Settings(sockets={"docker": ("/a.sock", "unix:///b.sock")})
    found = list(named_addresses(tree.host, settings))
    assert [(one.kind, one.address) for one in found] == [
        ("docker", "/a.sock"),
        ("docker", "/b.sock"),
    ]
