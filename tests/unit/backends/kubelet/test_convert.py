"""Names in the kubelet's directories."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtscope.backends.kubelet.convert import (
    LogDirectory,
    container_ids_in,
    is_pod_uid,
    is_static_uid,
    log_directory_from,
    manifest_name_in,
    manifest_of,
    setting_in,
)

UID = "0b1c8c39-59d5-4ee0-9b44-1d8fbbbd9f4e"
HASH = "0123456789abcdef" * 2
MANIFEST = b"""apiVersion: v1
kind: Pod
metadata:
  annotations:
    name: other
  labels:
    name: label
  name: etcd
  namespace: kube-system
spec:
  containers:
  - name: etcd-container
"""


@pytest.mark.parametrize(
    ("name", "is_pod", "is_static"),
    [(UID, True, False), (HASH, True, True), ("lost+found", False, False), ("", False, False)],
)
def test_uids(name: str, is_pod: bool, is_static: bool):
    assert (is_pod_uid(name), is_static_uid(name)) == (is_pod, is_static)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"shop_web-1_{UID}", LogDirectory(namespace="shop", name="web-1", uid=UID)),
        ("shop_web", None),
        (f"shop__{UID}", None),
        (f"a_b_c_{UID}", None),
    ],
)
def test_log_directory(name: str, expected: LogDirectory | None):
    assert log_directory_from(name) == expected


def test_container_ids():
    a, b, c = ("a" * 64, "b" * 64, "c" * 64)
    links = [
        f"web-1_shop_app-{a}.log",
        f"web-1_shop_side-car-{b}.log",
        f"db_shop_db-{a}.log",
        f"db_shop_db-{c}.log",
        "noise.log",
        f"web_shop-{a}.log",
    ]
    found = container_ids_in(links)
    assert found["shop", "web-1"] == {"app": a, "side-car": b}
    assert found["shop", "db"] == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MANIFEST, "etcd"),
        (b'{"kind":"Pod","metadata":{"name":"proxy","labels":{"name":"x"}}}', "proxy"),
        (b'{\n "metadata": {\n   "name": "proxy"\n }\n}', "proxy"),
        (b"metadata:\n    name: deep\n", "deep"),
        (b"", "file.v1"),
        (b"\xff", "file.v1"),
    ],
)
def test_manifest_name(content: bytes, expected: str):
    assert manifest_name_in(content, "file.v1.yaml") == expected


def test_manifest_of_takes_the_longest_name():
    manifests = {"kube": "/m/1", "kube-proxy": "/m/2"}
    assert manifest_of("kube-proxy-node1", manifests) == "/m/2"
    assert manifest_of("kube-node1", manifests) == "/m/1"
    assert manifest_of("other-node1", manifests) is None
    assert manifest_of("kube", manifests) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"healthzPort: 10249\n", "10249"),
        (b'healthzPort: "0" # off\n', "0"),
        (b'{"kind":"x","healthzPort":10250}', "10250"),
        (b"#healthzPort: 1\n", None),
        (b"otherhealthzPort: 1\n", None),
        (b"healthzPort:\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_setting(config: bytes, expected: str | None):
    assert setting_in(config, "healthzPort") == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab_-.log1\n", max_size=90), max_size=5), st.binary(max_size=60))
def test_any_names_and_contents_are_taken_apart(names: list[str], content: bytes):
    container_ids_in(names)
    for name in names:
        log = log_directory_from(name)
        assert log is None or "_" not in log.name
    assert isinstance(manifest_name_in(content, "x.yaml"), str)
    setting_in(content, "staticPodPath")
