#!/bin/sh
# Installs what is missing (Deno from npm; a software Vulkan driver only where no adapter is found) and runs a task.
#
#   sh scripts/setup.sh train [config.json] [--flag value ...]
#   sh scripts/setup.sh test
#
# Needed: Node.js with npm; for the driver, Debian's apt-get and root or sudo. Nothing is installed globally but
# that driver: Deno goes to .cache/deno in this folder.
set -eu
cd "$(dirname "$0")/.."
DENO_VERSION=2.9.6

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 2
}

# Deno 2.9 or later: the kernels are imported as text.
recent() {
  [ -x "$(command -v "$1")" ] || return 1
  version=$("$1" --version 2>/dev/null | sed -n 's/^deno \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
  [ -n "$version" ] || return 1
  # shellcheck disable=SC2086 # major and minor are two words
  set -- $version
  [ "$1" -gt 2 ] || { [ "$1" -eq 2 ] && [ "$2" -ge 9 ]; }
}

find_deno() {
  if recent deno; then
    DENO=deno
    return
  fi
  local_deno=$PWD/.cache/deno/node_modules/.bin
  if ! recent "$local_deno/deno"; then
    command -v npm >/dev/null || die "neither Deno 2.9 nor npm is here. Install Node.js with npm, or Deno, then run this again."
    say "installing Deno $DENO_VERSION from npm into .cache/deno"
    mkdir -p .cache/deno
    npm install --prefix .cache/deno --no-audit --no-fund --no-update-notifier --loglevel=error "deno@$DENO_VERSION" >&2 ||
      die "npm could not install deno@$DENO_VERSION (its message is above)."
    recent "$local_deno/deno" || die "npm installed deno@$DENO_VERSION, but it does not start on this machine."
  fi
  # On the path, so that tasks that call deno find it, too.
  PATH=$local_deno:$PATH
  export PATH
  DENO=deno
}

# Only Vulkan is asked: wgpu's OpenGL fallback takes minutes to compile compute shaders.
adapter() { DENO_WEBGPU_BACKEND=vulkan "$DENO" run --no-config --quiet scripts/adapter.ts; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "installing a driver needs root, and sudo is not here. As root: apt-get install -y --no-install-recommends mesa-vulkan-drivers"
  fi
}

find_adapter() {
  [ "$(uname -s)" = Linux ] || return 0
  adapter && return
  command -v apt-get >/dev/null ||
    die "no WebGPU adapter was found and apt-get is not here. Install your GPU's Vulkan driver, or Mesa's (it has a software adapter), then run this again."
  say "no WebGPU adapter was found: installing Mesa's Vulkan drivers (they bring a software adapter) with apt-get"
  as_root apt-get update -qq >&2 || say "apt-get update failed; trying with the package lists that are here"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers >&2 ||
    die "apt-get could not install mesa-vulkan-drivers (its message is above)."
  adapter || die "mesa-vulkan-drivers is installed, but still no adapter is found. Is /usr/share/vulkan/icd.d readable?"
}

[ $# -gt 0 ] || die "say what to run: sh scripts/setup.sh train, or sh scripts/setup.sh test"
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp} # without it libwayland, loaded by some drivers, complains
export XDG_RUNTIME_DIR
find_deno
case $1 in
  fmt | lint | check | static) ;;
  *) find_adapter ;;
esac
exec "$DENO" task --quiet "$@"
