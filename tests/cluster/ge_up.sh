#!/bin/bash
# A Grid Engine cell of one host from Debian's packages, for the tests: bare Debian 12, root, no systemd. Run again, it
# starts what does not run. Meant for a machine that may be thrown away: it writes in /var/lib and /var/spool.
#   GE_SLOTS (4) slots of the host; GE_MEMORY (8G) its memory, which h_vmem shares out
set -euo pipefail

slots=${GE_SLOTS:-4} memory=${GE_MEMORY:-8G}
host=$(hostname)
export SGE_ROOT=/var/lib/gridengine SGE_CELL=default DEBIAN_FRONTEND=noninteractive
spool=/var/spool/gridengine common=$SGE_ROOT/$SGE_CELL/common
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

install_packages() {
    [[ -x /usr/sbin/sge_qmaster && -x /usr/sbin/sge_execd && -e /usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0 ]] && return
    debconf-set-selections <<< "gridengine-common shared/gridenginemaster string $host
gridengine-common shared/gridenginecell string default
gridengine-common shared/gridengineconfig boolean false"
    apt-get update --quiet=2
    apt-get install --yes --quiet=2 --no-install-recommends \
        gridengine-master gridengine-exec gridengine-client gridengine-drmaa1.0
}

until_true() { # seconds command...
    local end=$((SECONDS + $1))
    shift
    until "$@" &> /dev/null; do
        ((SECONDS < end)) || { echo "ge_up.sh: not true in time: $*" >&2; tail -n 20 "$spool"/*/messages "$spool"/*/*/messages >&2 || true; return 1; }
        sleep 0.2
    done
}

as_admin() {
    setpriv --reuid sgeadmin --regid sgeadmin --clear-groups env HOME=/var/tmp SGE_ROOT=$SGE_ROOT SGE_CELL=$SGE_CELL "$@"
}

edit() { # what-is-shown how-it-is-set sed-script: change a configuration of the cell through a file, as qconf wants it
    qconf "$1" | sed "$3" > "$work/global" # -Mconf takes the configuration's name from the file's
    qconf "$2" "$work/global" > /dev/null
}

add() { # test-that-it-is-there how-it-is-added < description
    cat > "$work/new"
    eval "qconf $1" &> /dev/null || qconf "$2" "$work/new" > /dev/null
}

lay_out() {
    install -d -o sgeadmin -g sgeadmin /run/gridengine "$spool" "$spool"/{qmaster,qmaster/job_scripts,spooldb,execd}
    echo "$host" > $common/act_qmaster
    # The host's name resolves to 127.0.0.1, whose own name is localhost: without this line they are two hosts.
    echo "$host localhost $(awk -v h="$host" '$1 == "127.0.0.1" {for (i = 2; i <= NF; i++) if ($i != h && $i != "localhost") printf "%s ", $i}' /etc/hosts)" > $common/host_aliases
    chown sgeadmin: $common/act_qmaster $common/host_aliases
    [[ -e $spool/spooldb/sge ]] || as_admin /usr/share/gridengine/scripts/init_cluster $SGE_ROOT $SGE_CELL $spool/spooldb sgeadmin
}

start_master() {
    pgrep -x --runstates D,R,S,T sge_qmaster > /dev/null || setsid /usr/sbin/sge_qmaster < /dev/null &> $spool/qmaster.start
    until_true 120 qconf -sh
}

start_execution() {
    pgrep -x --runstates D,R,S,T sge_execd > /dev/null || setsid /usr/sbin/sge_execd < /dev/null &> $spool/execd.start
    until_true 120 eval "qstat -f | grep -q '^all.q@.* [0-9.]* *lx-amd64 *\$'"
}

configure() {
    as_admin qconf -am root &> /dev/null || true
    qconf -ah "$host" &> /dev/null || true
    qconf -as "$host" &> /dev/null || true
    # React at once, not every 15 s; root may submit; a job that uses up its h_vmem or h_rt is killed with all its children.
    edit -ssconf -Msconf 's/^schedule_interval .*/schedule_interval 0:0:1/; s/^flush_submit_sec .*/flush_submit_sec 1/
        s/^flush_finish_sec .*/flush_finish_sec 1/; s/^job_load_adjustments .*/job_load_adjustments NONE/'
    edit -sconf -Mconf 's/^min_uid .*/min_uid 0/; s/^min_gid .*/min_gid 0/; s/^load_report_time .*/load_report_time 00:00:05/
        s/^mailer .*/mailer \/bin\/true/; s/^shell_start_mode .*/shell_start_mode unix_behavior/
        s/^execd_params .*/execd_params ENABLE_ADDGRP_KILL=true/; s/^finished_jobs .*/finished_jobs 0/'
    edit -sc -Mc 's/^\(h_vmem  *h_vmem  *MEMORY  *<=  *YES  *\)NO  *0/\1YES 1G/'
    add "-se $host" -Ae <<< "hostname $host
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE"
    qconf -mattr exechost complex_values "slots=$slots,h_vmem=$memory" "$host" > /dev/null
    add "-shgrp @allhosts" -Ahgrp <<< "group_name @allhosts
hostlist $host"
    add "-sp smp" -Ap <<< "pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule \$pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE"
    local limits='' limit
    for limit in rt cpu fsize data stack core rss vmem; do
        limits+="s_$limit INFINITY"$'\n'"h_$limit INFINITY"$'\n'
    done
    add "-sq all.q" -Aq <<< "qname all.q
hostlist @allhosts
seq_no 0
load_thresholds NONE
suspend_thresholds NONE
nsuspend 1
suspend_interval 00:05:00
priority 0
min_cpu_interval 00:05:00
processors UNDEFINED
qtype BATCH INTERACTIVE
ckpt_list NONE
pe_list smp
rerun FALSE
slots $slots
tmpdir /tmp
shell /bin/sh
prolog NONE
epilog NONE
shell_start_mode unix_behavior
starter_method NONE
suspend_method NONE
resume_method NONE
terminate_method NONE
notify 00:00:60
owner_list NONE
user_lists NONE
xuser_lists NONE
subordinate_list NONE
complex_values NONE
projects NONE
xprojects NONE
calendar NONE
initial_state default
${limits%$'\n'}"
}

case ${1:-all} in
    all)
        install_packages
        lay_out
        start_master
        configure
        start_execution
        ;;
    master) # after a test stopped it
        start_master
        # When its master comes back, this version's execution daemon may take up no further end of a job, for ever.
        # Started anew it does; the jobs go on meanwhile, each under its own shepherd.
        "$(dirname "$0")/ge_down.sh" execd
        start_execution
        ;;
    *) echo "ge_up.sh: all (default) or master, got '$1'" >&2; exit 2 ;;
esac
echo "Grid Engine is up: $(qstat -f | sed -n 3p)"
