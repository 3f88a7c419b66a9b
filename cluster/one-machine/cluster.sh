#!/usr/bin/env bash
# A Ray cluster of several nodes on this machine, for trying out. See README.md beside this file.
#
#   cluster.sh start [NODES]    default: 3, beside a head that does no work itself
#   cluster.sh stop
#
# From the environment:
#   RAY             the ray command                       (ray)
#   CLUSTER_DIR     pids, logs and token; a short path    (/tmp/distexpand-cluster)
#   CLUSTER_PORT    the head's                            (6379)
#   DASHBOARD_PORT  the dashboard's, on 127.0.0.1         (8265)
#   RAY_AUTH_MODE   token or disabled                     (token)
set -euo pipefail

RAY=${RAY:-ray}
CLUSTER_DIR=${CLUSTER_DIR:-/tmp/distexpand-cluster}
CLUSTER_PORT=${CLUSTER_PORT:-6379}
DASHBOARD_PORT=${DASHBOARD_PORT:-8265}
# Explicitly: a token file in the home directory would switch authentication on at the head alone.
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
export RAY_AUTH_TOKEN_PATH=$CLUSTER_DIR/token
export RAY_USAGE_STATS_ENABLED=0
# As drivers have it (see ../ray.env): a node that isn't told takes their pings for an attack, and the worker is killed.
export RAY_grpc_client_keepalive_time_ms=5000 RAY_grpc_client_keepalive_timeout_ms=5000
export RAY_raylet_start_wait_time_s=90
# What a cluster's processes inherit, and are stopped by: `ray stop` would stop every cluster here.
export DISTEXPAND_CLUSTER=$CLUSTER_DIR
# Whatever the caller's session is attached to is not this cluster's business.
unset RAY_ADDRESS RAY_AUTH_TOKEN PYTHONWARNINGS

fail() {
    echo "cluster.sh: $1" >&2
    exit "${2:-1}"
}

running_pids() {
    local path pid
    for path in $(grep --files-with-matches --null-data --line-regexp --fixed-strings --no-messages -- "DISTEXPAND_CLUSTER=$CLUSTER_DIR" /proc/[0-9]*/environ || true); do
        pid=${path//[!0-9]/}
        if [ "$pid" != "$$" ] && [ "$pid" != "$BASHPID" ] && [ "$(ps -o stat= -p "$pid" | cut -c1)" != Z ]; then
            echo "$pid"
        fi
    done
}

start_node() { # NAME OPTION...
    local name=$1
    shift
    # A node that can't reach its head would go on trying for a quarter of an hour.
    timeout 120 setsid --wait "$RAY" start "$@" --node-ip-address=127.0.0.1 --node-name="$name" \
        --temp-dir="$CLUSTER_DIR/$name" --object-store-memory=80000000 \
        --dashboard-agent-listen-port=0 --min-worker-port=0 --max-worker-port=0 --disable-usage-stats \
        >"$CLUSTER_DIR/$name.log" 2>&1 </dev/null || {
        tail -n 20 "$CLUSTER_DIR/$name.log" >&2
        fail "$name didn't start; its log is in $CLUSTER_DIR/$name.log"
    }
    echo "$name is up" >&2
}

prepare_directory() {
    [ ${#CLUSTER_DIR} -le 36 ] || fail "CLUSTER_DIR=$CLUSTER_DIR is longer than 36 characters, too long for sockets" 2
    (umask 077 && mkdir -p "$CLUSTER_DIR")
    [ -O "$CLUSTER_DIR" ] || fail "$CLUSTER_DIR belongs to someone else; set CLUSTER_DIR to another place" 2
    [ -z "$(running_pids)" ] || fail "a cluster runs already; stop it first: $0 stop" 2
    rm -rf "${CLUSTER_DIR:?}"/*
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")
}

start() { # NODES
    local nodes=$1 cpus node
    case $nodes in '' | *[!0-9]* | 0*) fail "NODES must be a number from 1, not '$nodes'" 2 ;; esac
    command -v "$RAY" >/dev/null || fail "no command '$RAY'; install it with: pip install 'distexpand[ray]'" 2
    # A job's driver is started with the first python of PATH, which has to be the one that runs Ray.
    PATH=$(cd "$(dirname "$(command -v "$RAY")")" && pwd):$PATH
    export PATH
    prepare_directory
    trap 'stop' EXIT
    start_node head --head --port="$CLUSTER_PORT" --num-cpus=0 \
        --include-dashboard=true --dashboard-host=127.0.0.1 --dashboard-port="$DASHBOARD_PORT"
    cpus=$(($(nproc) / nodes))
    cpus=$((cpus > 1 ? cpus : 1))
    for node in $(seq "$nodes"); do
        start_node "node$node" --address="127.0.0.1:$CLUSTER_PORT" --num-cpus="$cpus" \
            --resources="{\"io\": $cpus}"
    done
    trap - EXIT
    say_what_next "$nodes"
}

say_what_next() { # NODES
    local command=distexpand
    [ ! -x "$(dirname "$(command -v "$RAY")")/distexpand" ] || command=$(dirname "$(command -v "$RAY")")/distexpand
    echo "A cluster of $1 nodes runs; its dashboard is http://127.0.0.1:$DASHBOARD_PORT. Next:"
    echo
    if [ "$RAY_AUTH_MODE" = token ]; then
        echo "  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH"
    else
        echo "  export RAY_AUTH_MODE=$RAY_AUTH_MODE"
    fi
    echo "  $command submit RECIPE OUT --address http://127.0.0.1:$DASHBOARD_PORT"
    echo
    echo "Stop it with: $0 stop"
}

stop() {
    local signal pids round
    for round in $(seq 150); do
        pids=$(running_pids)
        [ -n "$pids" ] || break
        # Five seconds to end in order, ten to be gone.
        signal=$([ "$round" -le 50 ] && echo TERM || echo KILL)
        # shellcheck disable=SC2086 # several pids
        kill -s "$signal" $pids 2>/dev/null || true
        sleep 0.1
    done
    [ -z "$(running_pids)" ] || fail "still running after 15 seconds: $(running_pids | tr '\n' ' ')"
    rm -f "$RAY_AUTH_TOKEN_PATH"
    echo "The cluster is stopped; its logs stay in $CLUSTER_DIR" >&2
}

case ${1:-} in
start) start "${2:-3}" ;;
stop) stop ;;
*) fail "use: $0 start [NODES] | stop" 2 ;;
esac
