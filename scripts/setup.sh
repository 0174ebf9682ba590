#!/bin/sh
# Makes sure that there is a Vulkan driver: that of a GPU if there is one, else Mesa's software driver. Does
# nothing on macOS (Metal) and Windows (DX12), or if a driver is already installed.
#
#   setup.sh                    a driver
#   setup.sh swiftshader FILE   also SwiftShader, Google's software driver, which comes with Chromium;
#                               FILE is its description for the Vulkan loader
#   setup.sh browser            also Chromium with its driver, and a compiler for WebAssembly
set -eu
[ "$(uname -s)" = Linux ] || exit 0

install() {
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

if [ "${1:-}" = swiftshader ]; then
    "$0"
    [ -e "$2" ] && exit 0
    echo "$2 was not found: installing Chromium, of which SwiftShader is a part."
    if command -v apt-get >/dev/null; then install chromium; fi
    [ -e "$2" ] && exit 0
    echo "There is no $2. Name the vk_swiftshader_icd.json of your Chromium or Chrome: make test-swiftshader SWIFTSHADER=FILE" >&2
    exit 1
fi

if [ "${1:-}" = browser ]; then
    "$0"
    has() { command -v "$1" >/dev/null; }
    has chromedriver && { has chromium || has google-chrome; } || set -- "$@" chromium chromium-driver
    wasm=wasm32-unknown-unknown
    [ -d "$(rustc --print sysroot)/lib/rustlib/$wasm" ] || [ -d /usr/lib/rustlib/src ] || set -- "$@" rustc-web rust-web-src
    shift
    [ $# = 0 ] && exit 0
    if has apt-get; then install "$@" && exit 0; fi
    echo "Missing: $*. Install Chrome or Chromium with chromedriver, and run: rustup target add $wasm" >&2
    exit 1
fi

has_driver() {
    for folder in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d; do
        for file in "$folder"/*.json; do [ -e "$file" ] && return 0; done
    done
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]
}
has_loader() { { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q 'libvulkan\.so\.1'; }

if has_driver && has_loader; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    echo "No Vulkan driver was found. Install your GPU's, or Mesa's software driver (Fedora: mesa-vulkan-drivers, Arch: vulkan-swrast)." >&2
    exit 1
fi
gpu=
for device in /dev/nvidia0 /dev/nvidiactl /dev/dxg; do [ -e "$device" ] && gpu="${gpu:-$device}"; done
for vendor in /sys/class/drm/renderD*/device/vendor; do
    # NVIDIA, AMD, Intel; a virtual display is not a GPU.
    case "$(cat "$vendor" 2>/dev/null)" in
        0x10de | 0x1002 | 0x8086) gpu="${gpu:-$(dirname "$(dirname "$vendor")")}" ;;
    esac
done
if [ -n "$gpu" ]; then
    cat >&2 <<END
warning: this machine has a GPU ($gpu) without a Vulkan driver. What is installed now drives AMD's and Intel's, and
computes on the processor for any other. For one of NVIDIA: in a container, start it with
NVIDIA_DRIVER_CAPABILITIES=all, so that nvidia_icd.json is in /etc/vulkan/icd.d or /usr/share/vulkan/icd.d; elsewhere
install the Vulkan part of its driver (Debian: nvidia-vulkan-icd, Ubuntu: libnvidia-gl of the driver's version).
END
fi
echo "No Vulkan driver was found: installing Mesa's (mesa-vulkan-drivers, libvulkan1)."
install mesa-vulkan-drivers libvulkan1
