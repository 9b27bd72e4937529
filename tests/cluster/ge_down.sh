#!/bin/bash
# Stop the cell of ge_up.sh: `master` its master alone, as a site does for maintenance; without a word, all of it.
set -euo pipefail

stop() {
    pkill -x "$1" || true
    for _ in {1..100}; do
        pgrep -x "$1" > /dev/null || return 0
        sleep 0.1
    done
    pkill -KILL -x "$1"
}

stop sge_qmaster
[[ ${1:-all} == master ]] || stop sge_execd
