#!/bin/bash
# Stop what slurm_up.sh started, jobs included; the packages, their configuration and the database stay.
set -euo pipefail

if scontrol ping &> /dev/null; then
    scancel --user="$(id -un)" || true # without an answer there is nothing to cancel
fi
for pid_file in /run/slurm/{slurmd,slurmctld,slurmdbd}.pid /run/munge/munged.pid; do
    [[ -s $pid_file ]] || continue
    pid=$(< "$pid_file")
    kill "$pid" 2> /dev/null || continue
    for _ in {1..100}; do
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.1
    done
done
if command -v mysqladmin > /dev/null && mysqladmin ping &> /dev/null; then mysqladmin shutdown; fi
echo "Slurm is down"
