#!/bin/bash
# Evaluates in several processes with GNU parallel, then writes the report:
#
#   scripts/cluster/parallel.sh 4 --dataset lasot --root /data/LaSOT --model models/et_track --output out/lasot
#
# The first argument is the number of parts, the others are those of `ettrack eval`. PARALLEL_OPTIONS are options of
# parallel (for example "--sshlogin one,two --workdir ." for other machines with the same folders). ETTRACK is the path of
# the program. To finish parts that failed, give the same command again. Finished sequences are not run again.
set -euo pipefail

parts=${1:?expected the number of parts, then the options of ettrack eval}
shift
ettrack=${ETTRACK:-ettrack}

failed=0
# The arguments are quoted, because parallel runs its command in a shell.
printf -v evaluate '%q ' "$ettrack" eval "$@"
# shellcheck disable=SC2086 # several options in one variable
seq "$parts" | parallel ${PARALLEL_OPTIONS:-} "$evaluate --shard {}/$parts" || failed=$?
[ "$failed" = 0 ] || echo "$failed of $parts parts failed; the same command finishes them" >&2
"$ettrack" eval "$@" --merge
