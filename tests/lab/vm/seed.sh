#!/bin/sh
# Populates the node before its snapshot: every engine, running, paused and exited.
set -eu
cd /root/seed
image=docker.io/rtlab/busybox:1

docker load -q -i busybox.tar
docker run -d --name d-run --network none --label lab=vm "$image" sleep 1000000
docker run -d --name d-paused --network none "$image" sleep 1000000
docker pause d-paused
docker run --name d-exited --network none "$image" sh -c 'exit 3' || true
docker run -d --name d-kube --network none --cgroup-parent kubepods-burstable-podaaaa.slice "$image" sleep 1000000

podman load -q -i busybox.tar
podman run -d --name p-run --network none "$image" sleep 1000000
podman run --name p-exited --network none "$image" sh -c 'exit 4' || true
podman run -d --name p-runc --runtime runc --network none "$image" sleep 1000000

for namespace in default k8s.io; do
    for archive in busybox.tar pause.tar; do ctr -n $namespace images import $archive >/dev/null; done
done
ctr run -d --null-io "$image" t-run sleep 1000000
ctr run -d --null-io --runc-systemd-cgroup --cgroup system.slice:ctr:t-slice "$image" t-slice sleep 1000000

PYTHONPATH=/root/seed/site python3 /root/seed/pods.py

useradd -m -u 1500 -s /bin/sh sre
loginctl enable-linger sre
tries=0
until [ -S /run/user/1500/bus ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "the user's bus did not come" >&2; exit 1; }
    sleep 0.2
done
cp busybox.tar /home/sre/busybox.tar && chown sre /home/sre/busybox.tar
cat > /home/sre/seed.sh <<'USER'
set -eu
cd /home/sre
podman load -q -i busybox.tar
podman run -d --name u-run --network none docker.io/rtlab/busybox:1 sleep 1000000
USER
runuser -u sre -- env XDG_RUNTIME_DIR=/run/user/1500 \
    DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus sh /home/sre/seed.sh
