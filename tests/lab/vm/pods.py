#!/usr/bin/python3
"""Runs in the guest: one pod of two containers in a kubelet's slice, through containerd's CRI."""

from tests.lab.cri import Cri, pod_config

SLICE = "kubepods-burstable-pod11112222_3333_4444_5555_666677778888.slice"

with Cri("/run/containerd/containerd.sock") as cri:
    pod = pod_config("web", SLICE, "/var/log/pods/web")
    sandbox = cri.run_pod(pod)
    cri.run(sandbox, pod, "app", ["sleep", "1000000"])
    cri.run(sandbox, pod, "sidecar", ["sleep", "1000000"])
    crun = pod_config("crunpod", SLICE.replace("1111", "9999"), "/var/log/pods/crunpod")
    sandbox = cri.run_pod(crun, "crun")
    cri.run(sandbox, crun, "app", ["sleep", "1000000"])
