#!/bin/sh
# The batched join by hand: one call a client, then awk over pid, task, OCI state and cgroup.
# Environment: DOCKER_SOCKET, CONTAINERD_SOCKET, NAMESPACES, RUNC_ROOTS.
{
    ids=$(docker -H "unix://$DOCKER_SOCKET" ps -aq --no-trunc)
    [ -z "$ids" ] || docker -H "unix://$DOCKER_SOCKET" inspect \
        --format 'engine moby {{.Id}} {{.State.Pid}} {{.State.Status}} {{.Name}}' $ids
    for namespace in $NAMESPACES; do
        ctr -a "$CONTAINERD_SOCKET" -n "$namespace" containers list -q |
            awk -v n="$namespace" '{ print "container", n, $1 }'
        ctr -a "$CONTAINERD_SOCKET" -n "$namespace" tasks list |
            awk -v n="$namespace" 'NR > 1 { print "task", n, $1, $2, $3 }'
    done
    for root in $RUNC_ROOTS; do
        runc --root "$root" list | awk -v r="$root" 'NR > 1 { print "oci", r, $1, $2, $3 }'
    done
    ps -eo pid=,ppid=,cgroup=,args= | awk '{ print "process", $0 }'
} | awk '
    $1 == "process" { parent[$2] = $3; next }
    { key = $2 "/" $3; seen[key] = seen[key] " " $1; if ($4 ~ /^[0-9]+$/) pid[$3] = $4 }
    END { for (key in seen) { split(key, part, "/"); print key, pid[part[2]], parent[pid[part[2]]], seen[key] } }
'
