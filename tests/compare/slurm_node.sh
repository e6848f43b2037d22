#!/usr/bin/env bash
# A Slurm of this machine alone, for tests: `slurm_node.sh start FOLDER` prints the path for SLURM_CONF,
# `slurm_node.sh stop FOLDER` ends it. It needs Debian's packages slurm-wlm and munge; all its files, and the socket and the
# key of its own munged, are in FOLDER.
set -euo pipefail

ports() { # three free ports of the loopback address
    python3 - <<'PYTHON'
import socket

sockets = [socket.socket() for _ in range(3)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

stop() {
    local name number
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] || continue
        number=$(cat "$folder/$name.pid")
        kill "$number" 2>/dev/null || continue
        for _ in $(seq 50); do kill -0 "$number" 2>/dev/null || break; sleep 0.1; done
    done
}

start() {
    local controller daemon step host
    mkdir -p "$folder"/{state,spool,log}
    host=$(hostname -s)
    read -r controller daemon step <<<"$(ports)"
    cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$controller
SlurmdPort=$daemon
SrunPortRange=$step-$((step + 20))
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits as long as a credential is valid
AuthInfo=socket=$folder/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobRequeue=1
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
KillWait=5
MinJobAge=60
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF=$folder/slurm.conf
    head -c 1024 /dev/urandom >"$folder/munge.key"
    chmod 700 "$folder"
    chmod 600 "$folder/munge.key"
    /usr/sbin/munged --force --num-threads=1 --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
    slurmctld >"$folder/log/start" 2>&1
    slurmd >>"$folder/log/start" 2>&1
    for _ in $(seq 100); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
            echo "$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    tail -n 20 "$folder"/log/* >&2
    stop
    return 1
}

[[ ${1:-} =~ ^(start|stop)$ && -n ${2:-} ]] || { echo "usage: slurm_node.sh start|stop FOLDER" >&2; exit 2; }
folder=$(realpath -m "$2")
"$1"
