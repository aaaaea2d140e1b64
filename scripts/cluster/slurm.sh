#!/bin/bash
# Evaluates on several machines with a Slurm job array, then writes the report:
#
#   scripts/cluster/slurm.sh 4 --dataset lasot --root /data/LaSOT --model models/et_track --output /shared/out/lasot
#
# The first argument is the number of parts, the others are those of `ettrack eval`. All machines must have access to the
# output folder. To finish parts that failed, give the same command again. Finished sequences are not run again.
# SBATCH_OPTIONS are added to both jobs (for example "--time=4:00:00 --cpus-per-task=1"). ETTRACK is the path of the
# program.
set -euo pipefail

parts=${1:?expected the number of parts, then the options of ettrack eval}
shift
ettrack=${ETTRACK:-ettrack}

# The arguments are quoted, because sbatch takes one string.
printf -v evaluate '%q ' "$ettrack" eval "$@"

# shellcheck disable=SC2086 # several options in one variable
array=$(sbatch --parsable --job-name=ettrack-eval --array="1-$parts" ${SBATCH_OPTIONS:-} \
    --wrap="$evaluate --shard \$SLURM_ARRAY_TASK_ID/$parts")
# shellcheck disable=SC2086
merge=$(sbatch --parsable --job-name=ettrack-merge --dependency="afterany:$array" ${SBATCH_OPTIONS:-} \
    --wrap="$evaluate --merge")
echo "array $array, report by job $merge"
