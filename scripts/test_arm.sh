#!/usr/bin/env bash
# Builds for 64-bit ARM and runs the tests that need no ONNX Runtime under user-mode emulation: frames, crops with NEON,
# messages, the parts of the tracker. If the target, the cross compiler or the emulator is missing, the script prints which
# one and ends with exit code 0.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
compiler=${ARM_CC:-aarch64-linux-gnu-gcc}
emulator=${ARM_EMULATOR:-$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)}
# Folder of the target's libraries. This is the folder of Debian's cross packages.
sysroot=${ARM_SYSROOT:-/usr/aarch64-linux-gnu}

missing=()
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || missing+=("the Rust target (rustup target add $target)")
command -v "$compiler" >/dev/null || missing+=("a cross compiler (apt install gcc-aarch64-linux-gnu)")
[ -n "$emulator" ] || missing+=("an emulator (apt install qemu-user)")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'the tests on 64-bit ARM were not run, missing: %s\n' "${missing[@]}"
    exit 0
fi

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$compiler CC_aarch64_unknown_linux_gnu=$compiler
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulator -L $sysroot"
exec "${CARGO:-cargo}" test --release --target "$target" -p ettrack --lib --test crop --test encodings -- --skip runtime
