#!/bin/sh
# The entry point of RayJob and CronJob: run-batch.sh FILE [ADDRESS].
# Ends with 0 also where another run is making the rest (75): KubeRay knows only 0 and failed, and would start a
# whole cluster to find out the same again.
set -eu

# Kept alive by the trap, this shell hands on what the batch ends with. Ray signals both of them.
trap : TERM INT

code=0
distexpand batch "$1" --address "${2:-auto}" || code=$?
if [ "$code" -eq 75 ]; then
  echo "the rest is being made by another run" >&2
  code=0
fi
exit "$code"
