#!/usr/bin/python3
"""Runs in the guest: executes what the host asks for, one JSON line in, one JSON line out."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import time

PORT = "/dev/virtio-ports/rtscope.agent"
ENVIRON = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
}


def run(request):
    # Files instead of pipes: a daemon that the command leaves behind may keep them open.
    paths = [f"/run/agent-{request['id']}.{n}" for n in ("out", "err")]
    with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
        process = subprocess.Popen(
            request["argv"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            cwd="/root",
            env={**ENVIRON, **request.get("env", {})},
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            process.stdin.write(base64.b64decode(request.get("stdin", "")))
            process.stdin.close()
        try:
            code = process.wait(request["timeout"])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = 124
    answers = []
    for path in paths:
        with open(path, "rb") as file:
            answers.append(base64.b64encode(file.read()).decode())
        os.unlink(path)
    return {"id": request["id"], "code": code, "out": answers[0], "err": answers[1]}


def answer(line):
    request = json.loads(line)
    try:
        return run(request)
    except (OSError, ValueError, KeyError) as error:
        text = base64.b64encode(f"{error}\n".encode()).decode()
        return {"id": request.get("id"), "code": 127, "out": "", "err": text}


def main():
    port = os.open(PORT, os.O_RDWR)
    buffer = b""
    while True:
        try:
            data = os.read(port, 1 << 16)
        except OSError:
            data = b""
        if not data:
            time.sleep(0.05)
            continue
        buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            if not line.strip():
                continue
            data = json.dumps(answer(line)).encode() + b"\n"
            while data:
                data = data[os.write(port, data) :]


if __name__ == "__main__":
    main()
