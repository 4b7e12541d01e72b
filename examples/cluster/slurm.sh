#!/bin/bash
# Trains on two nodes with four GPUs each, one process for each GPU.
#
#   sbatch slurm.sh
#
# Before the time of the job is over all processes get SIGTERM, make a last
# backup, and exit with code 75; the job is then put into the queue again, and
# goes on. The same when a process or a node dies.
#SBATCH --job-name=mpl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append

# A folder that all nodes see.
shared=${SHARED:-$HOME/mpl}

srun --kill-on-bad-exit=1 mpl-keras train \
    --recipe=cifar10_4000 \
    --data_dir="$shared/tfds" \
    --output_dir="$shared/runs/cifar" \
    --backup_every=500 \
    --resume
code=$?

# 75: "start me again"; above 128: a process was killed.
if [ "$code" -eq 75 ] || [ "$code" -gt 128 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
