#!/bin/bash
# Trains for a given time, and continues from the last run, also on another machine:
#
#   scripts/cluster/train.sh 12m PACKS RUN --recipe training/recipes/ettrack-gpu.yaml
#
# The first argument is the time for the training, in the format of `timeout`. PACKS is a folder that
# `ettrack_training.data.pack --codec webp` has written. Its pieces are smaller than 56 MB. They are unpacked once, into
# RUN/cache. The other arguments are options of `ettrack_training.train`. RUN receives the files of the training, with the
# checkpoint in pieces of 15 MB, and RUN/ettrack, the model folder of the last checkpoint. To continue on another machine,
# copy RUN without its cache. When the time is over, the steps after the last checkpoint (`run.save_every` of the recipe)
# are lost. PYTHON names the Python with the workshop's packages.
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
    124) echo "the time is over; the same command continues from the last checkpoint in $run" >&2 ;;
    *) exit "$status" ;;
esac
"$python" -m ettrack_training.distil.publish "$run/checkpoint.pt" "$run/ettrack"
