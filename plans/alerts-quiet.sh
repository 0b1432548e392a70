#!/bin/sh
# Succeeds while the monitoring reports nothing new. `--wave` looks only at the hosts of the open wave ($RUNBOOK_WAVE).
# The monitoring writes its open alerts to a file, one line each: HOST WAVE TEXT.
set -eu

alerts=${ALERTS:-/var/lib/monitoring/alerts}
wave=
[ "${1:-}" != --wave ] || wave=${RUNBOOK_WAVE:?--wave needs an open wave}

if [ ! -r "$alerts" ]; then
    echo "alerts-quiet: cannot read $alerts" >&2
    exit 2
fi
if grep -e " $wave${wave:+ }" "$alerts" >&2; then
    exit 1
fi
