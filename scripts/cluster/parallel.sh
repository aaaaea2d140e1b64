#!/bin/bash
# Evaluates in several processes by GNU parallel, then writes the report:
#
#   scripts/cluster/parallel.sh 4 --dataset lasot --root /data/LaSOT --model models/et_track --output out/lasot
#
# The first argument is the number of parts, the others are those of `ettrack eval`. PARALLEL_OPTIONS are those of parallel
# (for instance "--sshlogin one,two --workdir ." for other machines that see the same folders); ETTRACK names the program.
# Parts that died are finished by the same command: what is done is not run again.
set -euo pipefail

parts=${1:?expected the number of parts, then the options of ettrack eval}
shift
ettrack=${ETTRACK:-ettrack}

failed=0
# The words as a shell reads them, because parallel runs its command by a shell.
printf -v evaluate '%q ' "$ettrack" eval "$@"
# shellcheck disable=SC2086 # several options in one variable
seq "$parts" | parallel ${PARALLEL_OPTIONS:-} "$evaluate --shard {}/$parts" || failed=$?
[ "$failed" = 0 ] || echo "$failed of $parts parts failed; the same command finishes them" >&2
"$ettrack" eval "$@" --merge
