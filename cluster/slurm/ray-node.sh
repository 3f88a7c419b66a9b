#!/bin/bash
# Ray on one node of an allocation, in the foreground, until it is told to stop. Started by batch.sbatch through srun.
set -euo pipefail

# Short, as socket paths hold 107 characters, and local. Not shared, or a second raylet would undo the first one's.
home=/tmp/dx-$SLURM_JOB_ID-$SLURM_NODEID
common=(
  --block --temp-dir="$home" --object-store-memory=100000000
  --num-cpus="${SLURM_CPUS_ON_NODE:-1}" --resources='{"io": 2}' --dashboard-agent-listen-port=0
)

ray='' stopped=''
# shellcheck disable=SC2317,SC2329  # called by trap
stop() {
  stopped=yes
  [ -z "$ray" ] || kill -TERM "$ray" 2>/dev/null || true
}
trap stop TERM INT
trap 'rm -rf "$home"' EXIT

if [ "$SLURM_NODEID" -eq 0 ]; then
  ray start --head --port="$RAY_HEAD_PORT" --ray-client-server-port=$((RAY_HEAD_PORT + 1)) \
    --dashboard-host=127.0.0.1 --dashboard-port=$((RAY_HEAD_PORT + 2)) "${common[@]}" &
else
  # Asked before it listens, a head is waited for a quarter of an hour.
  for _ in $(seq 120); do
    [ -z "$stopped" ] || exit 0
    (exec 3<>"/dev/tcp/$RAY_HEAD_HOST/$RAY_HEAD_PORT") 2>/dev/null && break
    sleep 1
  done
  ray start --address="$RAY_HEAD_HOST:$RAY_HEAD_PORT" "${common[@]}" &
fi
ray=$!
# The signal may have come before there was a Ray to hand it to.
[ -z "$stopped" ] || stop
# A trapped signal ends `wait`, not Ray: wait again until it has ended.
while kill -0 "$ray" 2>/dev/null; do
  wait "$ray" || true
done
