#!/bin/bash
# Slurm on one node from Debian's packages, for the tests: bare Debian 12, root, no systemd, no cgroups. Run again, it starts
# what does not run. Meant for a machine that may be thrown away: it writes in /etc/slurm, /etc/munge and /var/lib.
#   slurm_up.sh                 without accounting: sacct answers nothing, squeue forgets a job after MinJobAge
#   slurm_up.sh --accounting    with mariadb and slurmdbd; the one account is `lab`, and another one is refused
# The mode may be changed while it runs; jobs that wait or run then are lost.
#   SLURM_CPUS (4), SLURM_MEMORY (16000 MiB): what the node claims to have, since a test machine has less
set -euo pipefail

case ${1:-} in
    '') accounting=false ;;
    --accounting) accounting=true ;;
    *) echo "slurm_up.sh: --accounting or nothing, got '$1'" >&2; exit 2 ;;
esac
cpus=${SLURM_CPUS:-4} memory=${SLURM_MEMORY:-16000}
host=$(hostname -s)
export DEBIAN_FRONTEND=noninteractive

until_true() { # seconds command...
    local end=$((SECONDS + $1))
    shift
    until "$@" &> /dev/null; do
        ((SECONDS < end)) || { echo "slurm_up.sh: not true in time: $*" >&2; tail -n 20 /var/log/slurm/*.log >&2 || true; return 1; }
        sleep 0.2
    done
}

alive() { # pid-file
    [[ -s $1 ]] && kill -0 "$(< "$1")" 2> /dev/null
}

stop() { # daemon...
    local pid_file pid
    for pid_file in "${@/#//run/slurm/}"; do
        alive "$pid_file.pid" || continue
        pid=$(< "$pid_file.pid")
        kill "$pid"
        until_true 120 eval "! kill -0 $pid"
    done
}

install_packages() {
    local packages=() policy=/usr/sbin/policy-rc.d made=false
    [[ -x /usr/sbin/slurmctld && -x /usr/sbin/slurmd && -x /usr/bin/sinfo ]] || packages+=(slurmctld slurmd slurm-client munge)
    if $accounting; then
        [[ -x /usr/sbin/slurmdbd && -x /usr/sbin/mariadbd ]] || packages+=(slurmdbd mariadb-server)
    fi
    ((${#packages[@]})) || return 0
    # The packages would start their daemons before there is a configuration, and fail to install.
    [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; made=true; }
    apt-get update --quiet=2
    apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}"
    if $made; then rm $policy; fi
}

start_munge() {
    [[ -s /etc/munge/munge.key ]] || (umask 077; head -c 1024 /dev/urandom > /etc/munge/munge.key)
    chown -R munge: /etc/munge
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
    alive /run/munge/munged.pid || setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged
    until_true 120 eval 'munge -n | unmunge'
}

start_database() {
    install -d -o mysql -g mysql /run/mysqld
    # `a || b &` would leave a shell in the background that holds the caller's output open for as long as the database lives.
    if ! mysqladmin ping &> /dev/null; then
        setsid /usr/sbin/mariadbd --user=mysql --bind-address=127.0.0.1 --innodb-buffer-pool-size=128M < /dev/null &> /var/log/slurm/mariadb.out &
    fi
    until_true 120 mysqladmin ping
    mysql -e "create database if not exists slurm_acct_db;
        create user if not exists slurm@localhost identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@localhost;"
    install -o slurm -g slurm -m 600 /dev/stdin /etc/slurm/slurmdbd.conf <<< "AuthType=auth/munge
DbdHost=localhost
SlurmUser=slurm
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurm/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db"
    alive /run/slurm/slurmdbd.pid || /usr/sbin/slurmdbd
}

wanted_configuration() {
    local storage='AccountingStorageType=accounting_storage/none'
    if $accounting; then
        # associations: as on a site, a job without a known account is refused
        storage='AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStorageEnforce=associations'
    fi
    # config_overrides: the claimed CPUs and memory are believed. OverMemoryKill: without cgroups, memory is polled. The
    # intervals are short because a test waits for them.
    echo "ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=2
MaxArraySize=10001
MaxJobCount=20000
MinJobAge=300
ReturnToService=2
KillWait=5
MailProg=/bin/true
$storage
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=500 OverSubscribe=NO"
}

configure() {
    local wanted
    wanted=$(wanted_configuration)
    if [[ $(cat /etc/slurm/slurm.conf 2> /dev/null) != "$wanted" ]]; then
        stop slurmctld slurmd # a change of the accounting wants a restart, not a reconfiguration
        echo "$wanted" > /etc/slurm/slurm.conf
    fi
}

add_account() { # sacctmgr reads slurm.conf, which must name slurmdbd by now
    until_true 120 sacctmgr -n list cluster
    sacctmgr -n list cluster format=cluster%20 | grep -qw lab || sacctmgr -i add cluster lab > /dev/null
    sacctmgr -n list account format=account%20 | grep -qw lab || sacctmgr -i add account lab cluster=lab > /dev/null
    sacctmgr -n list association user=root account=lab format=user%20 | grep -qw root || sacctmgr -i add user root account=lab > /dev/null
}

start_slurm() {
    alive /run/slurm/slurmctld.pid || /usr/sbin/slurmctld
    until_true 120 scontrol ping
    alive /run/slurm/slurmd.pid || /usr/sbin/slurmd
    scontrol update "nodename=$host" state=resume &> /dev/null || true # refused where there is nothing to resume
    until_true 120 eval "sinfo -h -o %t | grep -qE 'idle|mix|alloc'"
}

install_packages
install -d -o slurm -g slurm /var/lib/slurm/slurmctld /var/log/slurm /run/slurm
install -d /var/lib/slurm/slurmd /etc/slurm
start_munge
if $accounting; then start_database; fi
configure
if $accounting; then add_account; else stop slurmdbd; fi
start_slurm
echo "Slurm is up: $(sinfo -h), $(scontrol show config | sed -n 's/^AccountingStorageType *= *//p')"
