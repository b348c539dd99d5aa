#!/bin/sh
# venv.sh run|dev: makes .venv and installs rtscope into it; `dev` adds what the tests need.
# Does nothing when pyproject.toml has not changed since the last time.
set -eu
extra=$1
stamp=.venv/.installed-$extra
if [ -e "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && .venv/bin/python -c 'import rtscope' 2>/dev/null; then
    exit 0
fi
python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "rtscope: needs Python 3.11 or newer with venv: apt-get install python3 python3-venv" >&2
        exit 2
    fi
    echo "rtscope: installing python3 and python3-venv" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    python=/usr/bin/python3
fi
[ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || "$python" -m venv .venv
tries=0
case $extra in dev) what='.[dev,lab]' ;; *) what='.' ;; esac
until .venv/bin/python -m pip install -q --disable-pip-version-check -e "$what"; do
    tries=$((tries + 1))
    [ $tries -lt 3 ] || { echo "rtscope: pip could not install $what" >&2; exit 2; }
    sleep 3
done
# rtscope itself writes nothing, not even bytecode: compile it now, or every start pays for it.
.venv/bin/python -m compileall -q rtscope || true
touch "$stamp"
