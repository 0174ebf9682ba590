#!/usr/bin/env bash
# Checks and measures frostline on this machine's GPU, in at most 7 minutes once everything is built:
# the adapter and its limits, a self-test of every kernel, the engine's tests with every class of
# kernels, steps of ResNets, PyTorch's steps on the same card where python3 has torch with CUDA, and
# which tiles are fastest. Writes out/gpu-check/gpu-check.json and gpu-check.md.
#
#   scripts/gpu-check.sh                    builds what is missing and runs everything
#   scripts/gpu-check.sh --quick            a short form, to try the script
#   scripts/gpu-check.sh --pack FILE.tar.xz writes the binaries for a machine without a Rust toolchain
#   scripts/gpu-check.sh --bin FOLDER       takes the binaries from an unpacked such file
#   scripts/gpu-check.sh --out FOLDER       writes there; --adapter NAME picks a device (FROSTLINE_ADAPTER)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD bin='' pack='' out=out/gpu-check quick=''
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1 ;;
        --bin) bin=$2; shift ;;
        --pack) pack=$2; shift ;;
        --out) out=$2; shift ;;
        --adapter) export FROSTLINE_ADAPTER=$2; shift ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
export NODEVICE_SELECT=1

# Builds the binaries into the folder $1.
build() {
    mkdir -p "$1/tests" || exit 1
    cargo build --release -p frostline-cli || exit 1
    cargo build --release -p frostline --example tune --example gpu_report || exit 1
    cargo test --release -p frostline-engine --no-run --message-format=json > "$1/built.json" || exit 1
    local target=${CARGO_TARGET_DIR:-target}/release
    cp "$target/frostline" "$target/examples/tune" "$target/examples/gpu_report" "$1/" || exit 1
    # One line per binary; those of the engine's tests have "test":true in their profile.
    grep '"test":true' "$1/built.json" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' |
        while read -r binary; do cp "$binary" "$1/tests/$(basename "$binary" | sed 's/-[0-9a-f]*$//')"; done
    rm "$1/built.json"
    strip "$1"/frostline "$1"/tune "$1"/gpu_report "$1"/tests/* 2>/dev/null || true
}

if [ -n "$pack" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    build "$folder"
    tar -C "$folder" -cJf "$pack" . && echo "$pack holds the binaries: unpack it and run $0 --bin FOLDER"
    exit
fi
if [ -z "$bin" ]; then
    bin=out/gpu-check-bin
    rm -rf "$bin"
    build "$bin"
fi
bin=$(cd "$bin" && pwd) || exit 1
rm -rf "$out"
mkdir -p "$out/steps" "$out/tests" || exit 1
out=$(cd "$out" && pwd)

start=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }
if [ -n "$quick" ]; then
    self_test=120 each_test=20 tune_budget=5 bench_seconds=0 torch_limit=30
    steps=('resnet10 4 16')
    classes=(gpu)
    pattern='accumulation|linear|pool'
else
    self_test=90 each_test=60 tune_budget=45 bench_seconds=0.3 torch_limit=110
    steps=('resnet18 8 224' 'resnet18 64 224' 'resnet50 4 224' 'resnet50 64 224' 'resnet20 64 32' 'resnet10 32 28')
    classes=(gpu portable subgroup cooperative)
    pattern=.
fi

say "self-test of every kernel"
timeout $self_test "$bin/frostline" --json doctor > "$out/doctor.json" 2> "$out/doctor.err"
echo "$?" > "$out/doctor.code"
command -v nvidia-smi > /dev/null &&
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader > "$out/nvidia-smi.txt"

say "steps"
step() { # class file arguments…
    local class=$1 file=$2
    shift 2
    FROSTLINE_TUNING=$class timeout 60 "$bin/frostline" --json bench --kernels --seconds $bench_seconds "$@" \
        > "$out/steps/$file.json" 2> "$out/steps/$file.err" || say "  $file: $(tail -1 "$out/steps/$file.err")"
}
for row in "${steps[@]}"; do
    read -r model batch size <<< "$row"
    for kind in infer full; do
        step gpu "$model-$batch-$kind" --model "$model" --batch "$batch" --size "$size" --only $kind
    done
done
if [ -z "$quick" ]; then
    step gpu resnet50-64-full-f16 --model resnet50 --batch 64 --only full --f16
    step cooperative resnet50-64-full-f16-cooperative --model resnet50 --batch 64 --only full --f16
fi

if command -v python3 > /dev/null && timeout 60 python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
    say "PyTorch"
    timeout $torch_limit python3 "$root/scripts/gpu-torch.py" --precisions f32,tf32 --seconds 0.3 --out "$out/torch.json" \
        resnet50:4:224 resnet50:64:224 resnet18:64:224 resnet18:8:224 resnet20:64:32 resnet10:32:28
else
    say "no PyTorch with CUDA: nothing to compare with"
fi

one_test() { # class binary
    local name; name=$(basename "$2")
    FROSTLINE_TUNING=$1 timeout "$each_test" "$2" > "$out/tests/$1-$name.log" 2>&1
    echo "$?" > "$out/tests/$1-$name.code"
}
export -f one_test
export out each_test
for class in "${classes[@]}"; do
    say "engine tests with $class kernels"
    find "$bin/tests" -type f | grep -E "$pattern" | xargs -P "$(nproc)" -I{} bash -c "one_test $class {}"
done

say "tiles"
FROSTLINE_TUNING=gpu timeout $((tune_budget + 30)) "$bin/tune" --network resnet50:8:224 --only tiled --candidates 60 --rounds 2 \
    --budget $tune_budget --out "$out/tuned.json" --report "$out/tune.json" > "$out/tune.txt" 2> "$out/tune.err" ||
    say "  tune: $(tail -1 "$out/tune.err")"

"$bin/gpu_report" "$out" $((SECONDS - start))
say "$out/gpu-check.md and gpu-check.json"
