#!/bin/sh
# The main job on this machine: list every container; where there is none, say so and show the
# recorded demo node, marked as one.
set -u
rtscope=.venv/bin/rtscope
$rtscope ps -a --all-runtimes
status=$?
if [ -z "$($rtscope ps -a --all-runtimes -q 2>/dev/null)" ]; then
    echo
    echo "No container was found on this machine (the notes above say where rtscope looked)."
    echo "What follows is the recorded demo node, not this machine:"
    echo
    $rtscope ps -a --demo && echo && $rtscope tree --demo --no-processes
    status=$?
fi
exit $status
