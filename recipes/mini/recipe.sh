#!/usr/bin/env bash
# The recipe of `mini`, from nothing: songs, codec, gate, priors, post-filter, the packed model,
# evaluation.
#
#   bash recipes/mini/recipe.sh [FOLDER] [SIZE]
#
# FOLDER (default build/mini) keeps songs, states, logs and the model. SIZE: full, or `trial`:
# every step in a few minutes, for a model that cannot sing. `tensorboard --logdir FOLDER/runs` draws
# the curves while it trains.
# Every step goes on where it was stopped, so the same command resumes after an interruption.
# Sized for two CPU cores: what stands side by side takes one each. FOLDER/core-hours.txt adds up the
# processor time of all runs.
set -euo pipefail
here="$(cd "$(dirname "$0")/../.." && pwd)"
work="${1:-$here/build/mini}" size="${2:-full}"
jukebox="${JUKEBOX:-$here/.venv/bin/jukebox}" python="${PYTHON:-$here/.venv/bin/python}"
data="$work/data" top_data="$work/top-data" model="$work/model" architecture="$work/architecture"
seed=1
export OMP_NUM_THREADS=1 PYTHONPATH="$here"

case "$size" in
full) quick=() ;;
trial) quick=(--quick) ;;
*) echo "SIZE is $size; wanted full or trial" >&2 && exit 2 ;;
esac

sized() { # FULL TRIAL
    if [ "$size" = full ]; then echo "$1"; else echo "$2"; fi
}

# What this shell and its programs took, added to what earlier runs took.
core_hours() {
    times >"$work/times.txt" # in a pipe it would tell of a new shell
    tr 'ms\n' '   ' <"$work/times.txt" |
        awk '{ print ($1 + $3 + $5 + $7) * 60 + $2 + $4 + $6 + $8 }' >>"$work/core-seconds.txt"
    awk '{ total += $1 } END { printf "%.2f core-hours\n", total / 3600 }' \
        "$work/core-seconds.txt" | tee "$work/core-hours.txt"
}

vqvae() { # LEVEL STEPS
    "$jukebox" train vqvae "$data" "$model" --level "$1" --steps "$2" \
        --run-dir "$work/runs/vqvae-$1" --threads 1 --seed $seed --log-every 50
}

prior() { # SONGS LEVEL STEPS SHARE [OPTIONS]; the share is of windows that begin a song
    "$jukebox" train prior "$1" "$model" --level "$2" --steps "$3" \
        --run-dir "$work/runs/prior-$2" --threads 1 --seed $seed --log-every 50 \
        --precision bf16 --lr 0.002 --start-share "$4" "${@:5}"
}

# Ends with the failure of whichever of two jobs failed.
both() {
    local first second
    $1 & first=$!
    $2 & second=$!
    wait $first
    wait $second
}

top_prior() {
    prior "$top_data" top "$(sized 10000 2)" 0.45 --end-share 0.35 --own-errors 0.12 \
        --bar-position-weight 1 --guide-weight 1 --guide-final 1
}
lower_codecs() { vqvae bottom "$(sized 6000 2)" && vqvae middle "$(sized 3000 2)"; }
upsamplers() {
    prior "$data" middle "$(sized 8000 2)" 0.02 && prior "$data" bottom "$(sized 10000 2)" 0.02
}

mkdir -p "$work"
trap core_hours EXIT
[ -f "$data/songs.json" ] ||
    "$python" -m recipes.mini.synth "$data" --songs "$(sized 3000 8)" --seed $seed \
        --seconds "$(sized 8-24 8-9)"
# The top prior learns four times as many songs: it knew 2,000 by heart before it could play in time.
# A third of them have verses and choruses.
[ -f "$top_data/songs.json" ] ||
    "$python" -m recipes.mini.synth "$top_data" --songs "$(sized 12000 8)" --seed $((seed + 1)) \
        --seconds "$(sized 8-30 8-9)" --sections 0.35 --short 0.4
[ -f "$architecture/config.json" ] || "$python" -m recipes.mini.architecture "$architecture"
[ -f "$model/config.json" ] || "$jukebox" train new "$data" "$model" --like "$architecture" --seed $seed \
    --license Apache-2.0 \
    --description "Trained by this project on music that it makes itself: it sings vowels, not words."

both "vqvae top $(sized 4000 2)" lower_codecs
"$python" -m recipes.mini.evaluate codec "$model" "$data" "${quick[@]}"
"$jukebox" train encode "$data" "$model"
# What a genre is shows in the first bars, before the music itself tells: hence many beginnings.
both top_prior upsamplers
# Last: it goes by how the bottom prior errs.
"$jukebox" train post-filter "$data" "$model" --run-dir "$work/runs/post-filter" \
    --steps "$(sized 1000 2)" --batch 2 --lr 0.003 --pieces "$(sized 80 2)" \
    --threads 1 --seed $seed --log-every 20
rm -rf "$work/mini"
"$jukebox" train pack "$model" "$work/mini"
"$python" -m recipes.mini.evaluate mini "$work/mini" -o "$work/evaluation" "${quick[@]}"
