"""Users with a session: where rootless engines keep their sockets and their state."""

from rtscope.procfs.host import Host

_MAX_USERS = 256


def user_ids(host: Host) -> tuple[int, ...]:
    """Uids that have a runtime directory. Source: pam_systemd(8), /run/user/UID."""
    try:
        names = host.names("/run/user")
    except OSError:
        return ()
    uids = sorted(int(name) for name in names if name.isdigit() and name != "0")
    return tuple(uids[:_MAX_USERS])


def user_managers(host: Host) -> tuple[int, ...]:
    """Pids of the users' own systemd, which hold the sockets of their services."""
    pids: list[int] = []
    for uid in user_ids(host):
        scope = f"user.slice/user-{uid}.slice/user@{uid}.service/init.scope/cgroup.procs"
        for prefix in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
            try:
                content = host.read(f"{prefix}/{scope}", 4096)
            except OSError:
                continue
            pids.extend(int(word) for word in content.split() if word.isdigit() and word != b"0")
            break
    return tuple(pids)
