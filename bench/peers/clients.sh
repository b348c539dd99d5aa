#!/bin/sh
# What an operator types today: each engine's own client, one after another.
# Environment: DOCKER_SOCKET, CONTAINERD_SOCKET, NAMESPACES, RUNC_ROOTS.
docker -H "unix://$DOCKER_SOCKET" ps -a --no-trunc
for namespace in $NAMESPACES; do
    ctr -a "$CONTAINERD_SOCKET" -n "$namespace" containers list
    ctr -a "$CONTAINERD_SOCKET" -n "$namespace" tasks list
done
for root in $RUNC_ROOTS; do
    runc --root "$root" list
done
