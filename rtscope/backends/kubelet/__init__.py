"""What a kubelet leaves on its node, without the API server and without credentials."""

from typing import ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets
from rtscope.backends.channel.http import HttpConnection
from rtscope.backends.kubelet.certificate import validity_in
from rtscope.backends.kubelet.convert import setting_in
from rtscope.backends.kubelet.pods import PodReader
from rtscope.backends.rights import reason_of_os_error, unreadable
from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Daemon
from rtscope.model.state import EndpointState, Reason

_CONFIGS = ("/var/lib/kubelet/config.yaml", "/etc/kubernetes/kubelet-config.yaml")
_STATIC_DIR = "/etc/kubernetes/manifests"
_HEALTHZ_ADDRESS = "127.0.0.1"
_HEALTHZ_PORT = "10248"
"""Source: KubeletConfiguration v1beta1, healthzBindAddress and healthzPort."""

_CERTIFICATES = (
    "{root}/pki/kubelet-client-current.pem",
    "/var/lib/rancher/k3s/agent/client-kubelet.crt",
    "/var/lib/rancher/rke2/agent/client-kubelet.crt",
)
_MAX_CONFIG_BYTES = 1 << 20
_MAX_WORD_BYTES = 200
_STATE_OF = {
    Reason.ABSENT: EndpointState.ABSENT,
    Reason.DENIED: EndpointState.DENIED,
    Reason.BLOCKED: EndpointState.BLOCKED,
}


class KubeletBackend:
    """Reads pod directories; where the kubelet runs, asks its health and reads its certificate."""

    name: ClassVar[str] = "kubelet"
    wave: ClassVar[int] = 2

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._root = endpoint.address.rstrip("/")

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one kubelet's directory."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every pod directory, and the kubelet itself where it runs."""
        draft = Draft(self._endpoint, targets)
        directory = f"{self._root}/pods"
        draft.asked(directory)
        try:
            uids = sorted(targets.host.names(directory))
        except OSError as error:
            reason = reason_of_os_error(error)
            draft.gap("kubelet_pods", reason, unreadable(targets.host, directory, error))
            draft.describe(state=_STATE_OF.get(reason, EndpointState.MALFORMED))
            return draft.observation()
        draft.answered()
        daemon = self._daemon(targets)
        config = self._config(daemon, targets)
        static_dir = setting_in(config, "staticPodPath") or _STATIC_DIR
        reader = PodReader(self._root, static_dir, draft, targets)
        for uid in uids:
            pod = reader.pod(uid)
            if pod is not None:
                draft.add(pod)
        if daemon is not None:
            options = {**daemon.options, **self._facts(daemon, config, draft, targets)}
            if reader.manifests:
                options["static_manifests"] = " ".join(sorted(reader.manifests.values()))
            draft.add(replace(daemon, options=options))
        return draft.observation()

    def close(self) -> None:
        """Nothing is kept open."""

    def _daemon(self, targets: Targets) -> Daemon | None:
        """The kubelet's process, as the scan saw it."""
        daemons = () if targets.kernel is None else targets.kernel.daemons
        return next((d for d in daemons if d.key == self._endpoint.daemon), None)

    def _config(self, daemon: Daemon | None, targets: Targets) -> bytes:
        named = None if daemon is None else daemon.options.get("config")
        for path in (named,) if named else _CONFIGS:
            try:
                return targets.host.read(path, _MAX_CONFIG_BYTES)
            except OSError:
                continue
        return b""

    def _facts(
        self, daemon: Daemon, config: bytes, draft: Draft, targets: Targets
    ) -> dict[str, str]:
        """Health and the certificate's dates, as far as they can be had."""
        facts = {}
        for pattern in _CERTIFICATES:
            path = pattern.format(root=self._root)
            try:
                validity = validity_in(targets.host.read(path, _MAX_CONFIG_BYTES))
            except OSError:
                continue
            if validity is not None:
                facts["client_certificate"] = path
                facts["client_certificate_not_before"] = validity.not_before.isoformat()
                facts["client_certificate_not_after"] = validity.not_after.isoformat()
                break
        health = self._health(daemon, config, draft, targets)
        if health is not None:
            facts["healthz"] = health
        return facts

    def _health(self, daemon: Daemon, config: bytes, draft: Draft, targets: Targets) -> str | None:
        """What `/healthz` answers; not asked of a process that cannot answer."""
        if daemon.process_state in ("T", "t", "D"):
            why = f"kubelet {daemon.key.pid} is in state {daemon.process_state}"
            reason = Reason.BLOCKED if daemon.process_state == "D" else Reason.SILENT
            draft.gap("healthz", reason, why, subject="healthz")
            return None
        port = daemon.options.get("healthz_port") or setting_in(config, "healthzPort")
        if port == "0":
            return None
        host = setting_in(config, "healthzBindAddress") or _HEALTHZ_ADDRESS
        address = f"tcp://{host}:{port or _HEALTHZ_PORT}"
        if not _shares_network(daemon, targets):
            draft.gap(
                "healthz", Reason.UNSUPPORTED, "not in the kubelet's network namespace", address
            )
            return None
        return self._ask_health(address, draft)

    def _ask_health(self, address: str, draft: Draft) -> str | None:
        draft.asked(f"GET {address}/healthz")
        connection = HttpConnection(
            address, backend=self.name, endpoint=address, deadlines=self._deadlines
        )
        health = None
        with draft.gap_on_error("healthz", subject="healthz"):
            status, _, body = connection.get("/healthz", self._deadlines.shim_s)
            word = body[:_MAX_WORD_BYTES].decode(errors="replace").strip()
            health = word if status == 200 else f"HTTP {status}: {word}"
        connection.close()
        return health


def _shares_network(daemon: Daemon, targets: Targets) -> bool:
    """Whether our loopback is the kubelet's: a debug pod has its own."""
    try:
        own = targets.host.readlink(f"/proc/{daemon.key.pid}/ns/net")
        return own == targets.host.readlink("/proc/self/ns/net")
    except OSError:
        return False


_CONFORMS: type[Backend] = KubeletBackend
