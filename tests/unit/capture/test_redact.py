import json

import pytest

from rtscope.capture.codec import to_json
from rtscope.capture.redact import REMOVED, clean_text, is_secret_name, redact
from rtscope.model.observation import Gap
from rtscope.model.records import Bundle, ContainerRecord, Daemon, Event, Process
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Layer, Reason
from tests.unit.capture.build import NOW, full_observation, plain_observation

REF = Ref(origin="/var/lib/docker", namespace="", id="c1")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJlLXBsYW50ZWQ"

MANIFEST = json.dumps(
    {
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "image": "nginx:1",
                    "env": [{"name": "MODE", "value": "planted-28"}],
                    "args": ["--token=planted-29"],
                }
            ]
        },
        "password": "planted-30",
    }
)

LABELS = {
    "DB_PASSWORD": "planted-01",
    "com.example.api-key": "planted-02",
    "app.token": "planted-03",
    "clientSecret": "planted-04",
    "traefik.http.middlewares.a.basicauth.users": "planted-user:$apr1$planted-05",
    "session_cookie": "planted-06",
    "note": "postgres://app:planted-07@db:5432/x",
    "jwt": JWT,
    "cfg": f"Authorization: Bearer planted-09-{'x' * 12}",
    "aws": "AKIAPLANTED012345678",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nplanted-11\n-----END RSA PRIVATE KEY-----",
    "kubectl.kubernetes.io/last-applied-configuration": MANIFEST,
    "broken": '{"password": "planted-12"',
    "gh": "ghp_planted13abcdefghijklmnopqrst",
    "query": "https://x.test/hook?token=planted-14&y=1",
}

ARGUMENTS = (
    "app",
    "--password=planted-15",
    "--token",
    "planted-16",
    "-e",
    "MODE=planted-17",
    "--db-pass=planted-18",
    "-u",
    "me:planted-19",
    "redis://:planted-20@cache/0",
    "--api-key",
    "planted-21",
    "--header=X-Auth-Token: planted-22",
)

COMMAND = (
    'sh -c \'export SECRET_KEY=planted-23; mysql -uroot -pplanted-24 --password "planted-25"; '
    'curl -u me:planted-26 -H "Cookie: planted-27"\''
)


def planted():
    """Every planted value in every kind of place that an observation has for foreign text."""
    return plain_observation(
        containers=(
            ContainerRecord(
                ref=REF,
                layer=Layer.ENGINE,
                name="web",
                labels={**LABELS, "tier": "front"},
                annotations=LABELS,
                command=COMMAND,
            ),
        ),
        bundles=(Bundle(ref=REF, path="/run/b", spec={"annotation.token": "planted-31"}),),
        daemons=(Daemon(key=ProcessKey(pid=1, start=1), kind="dockerd", args=ARGUMENTS),),
        processes=(
            Process(
                key=ProcessKey(pid=2, start=2), ppid=1, comm="app", state="S", cmdline=ARGUMENTS
            ),
            Process(
                key=ProcessKey(pid=3, start=2),
                ppid=1,
                comm="mysql",
                state="S",
                cmdline=("mysql", "-uroot", "-pplanted-32", "db"),
            ),
        ),
        events=(Event(at=NOW, action="start", detail={"password": "planted-33"}),),
        gaps=(
            Gap(
                source="s",
                subject="daemon",
                missing="x",
                reason=Reason.MALFORMED,
                detail="GET https://u:planted-34@h/ failed",
            ),
        ),
    )


def test_no_planted_secret_is_left():
    clean, removed = redact([planted()])
    text = json.dumps([to_json(one) for one in clean])
    left = [part[:20] for part in text.split("planted")[1:]]
    assert left == []
    assert "AKIAPLANTED" not in text
    assert JWT[:20] not in text
    assert len(removed) >= 30


def test_what_was_removed_is_listed_with_place_and_reason():
    _, removed = redact([planted()])
    paths = {one.path: one.reason for one in removed}
    assert paths["docker:///run/docker.sock.containers[c1].labels.DB_PASSWORD"] == (
        "name DB_PASSWORD"
    )
    assert all("planted" not in one.path + one.reason for one in removed)


def test_what_is_no_secret_stays():
    clean, _ = redact([planted()])
    record = clean[0].containers[0]
    assert record.labels["tier"] == "front"
    assert record.name == "web"
    assert record.ref == REF
    assert clean[0].processes[0].cmdline[0] == "app"
    assert clean[0].processes[0].cmdline[4:6] == ("-e", f"MODE={REMOVED}")
    assert "db:5432" in record.labels["note"]


def test_observation_without_secrets_is_the_same_object():
    plain = plain_observation(
        containers=(ContainerRecord(ref=REF, layer=Layer.ENGINE, labels={"app": "web"}),)
    )
    clean, removed = redact([plain])
    assert clean[0] is plain
    assert removed == ()


def test_redaction_of_what_is_clean_already_changes_nothing():
    once, _ = redact([planted()])
    twice, removed = redact(once)
    assert removed == ()
    assert json.dumps([to_json(o) for o in twice]) == json.dumps([to_json(o) for o in once])


def test_every_record_can_be_redacted():
    full = full_observation()
    clean, _ = redact([full])
    assert clean[0].containers[0].ref == full.containers[0].ref


@pytest.mark.parametrize(
    "name",
    ["PASSWORD", "dbPassword", "db_pass", "API_KEY", "apiKey", "x-api-key", "GITHUB_TOKEN",
     "client_secret", "AWS_SECRET_ACCESS_KEY", "auth", "Authorization", "cookie", "PGPASSWORD",
     "MYSQL_ROOT_PASSWORD", "REDIS_URL_PASSWORD", "SENTRY_DSN", "com.x.credentials", "jwt",
     "ssh-key", "KEY", "tls.key", "passphrase", "private_key", "mytoken", "SECRETS"],
)  # fmt: skip
def test_name_of_a_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["app", "tier", "org.opencontainers.image.authors", "com.docker.compose.project",
     "io.kubernetes.container.name", "keyboard", "monkey", "author", "passenger", "root", "state",
     "io.kubernetes.pod.uid", "containerd.io/gc.root", "spec", "config", "address",
     "maintainer", "compass", "tokenizer-free"],
)  # fmt: skip
def test_name_of_no_secret(name):
    expected = name == "tokenizer-free"  # a false alarm that costs nothing
    assert is_secret_name(name) is expected


@pytest.mark.parametrize(
    "text",
    ["nginx -g 'daemon off;'", "sleep 1000", "/bin/sh -c 'while true; do sleep 1; done'",
     "containerd-shim-runc-v2 -namespace moby -id abc -address /run/containerd/containerd.sock",
     "python -m http.server 8080", "postgres -p 5432", "https://example.test/path?x=1"],
)  # fmt: skip
def test_ordinary_command_is_left_alone(text):
    assert clean_text(text) == text


def test_long_text_is_cleaned_in_reasonable_time():
    for text in (
        "a=" * 50_000,
        "-" * 100_000,
        "key" * 30_000,
        "eyJ" + "a" * 100_000,
        "u:" * 50_000,
    ):
        assert len(clean_text(text)) > 0
