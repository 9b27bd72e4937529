#!/bin/bash
# Stop the cell of ge_up.sh, or one daemon of it, as a site does for maintenance: master, execd, or all (default).
set -euo pipefail

stop() {
    local signal
    for signal in TERM KILL; do
        pkill "-$signal" -x "$1" || (($? == 1)) # it has ended already; another code is a fault
        for _ in {1..100}; do
            pgrep -x --runstates D,R,S,T "$1" > /dev/null || return 0
            sleep 0.1
        done
    done
    return 1
}

[[ ${1:-all} == execd ]] || stop sge_qmaster
[[ ${1:-all} == master ]] || stop sge_execd
