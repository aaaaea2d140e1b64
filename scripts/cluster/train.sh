#!/bin/bash
# Trains on a machine that is lent for a while, and goes on where the last loan ended:
#
#   scripts/cluster/train.sh 12m PACKS RUN --recipe training/recipes/ettrack-gpu.yaml
#
# The first argument is the time that training may take, as `timeout` reads it. PACKS is a folder that
# `ettrack_training.data.pack --codec webp` has written; its pieces are smaller than 56 MB. They are made raw in RUN/cache,
# once. The other arguments are options of `ettrack_training.train`. RUN receives what that writes, the checkpoint as pieces
# of 15 MB, so that RUN without its cache can be carried to the next machine; and RUN/ettrack, the model folder of the last
# checkpoint. What was trained since the last checkpoint (`run.save_every` of the recipe) is lost when the time is over.
# PYTHON names the Python with the workshop's packages.
set -euo pipefail

usage="expected the time, the folder of packs, the folder of the run, then options of ettrack_training.train"
time=${1:?$usage}
packs=${2:?$usage}
run=${3:?$usage}
shift 3
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH=$here/training${PYTHONPATH:+:$PYTHONPATH}

if ! [ -f "$run/cache/complete" ]; then
    "$python" -m ettrack_training.data.pack --out "$run/cache" --expand "$packs"
    touch "$run/cache/complete"
fi
status=0
timeout "$time" "$python" -m ettrack_training.train --cache "$run/cache" --out "$run" --resume --parts "$@" || status=$?
case $status in
    0) echo "all steps of the recipe are done" >&2 ;;
    124) echo "the time is over; the same command goes on from the last checkpoint in $run" >&2 ;;
    *) exit "$status" ;;
esac
"$python" -m ettrack_training.distil.publish "$run/checkpoint.pt" "$run/ettrack"
