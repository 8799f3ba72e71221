# Sourced by the scripts of this folder: the images' names, contents and target folders.
# In: CARGO_TARGET_DIR, IMAGE_PLATFORMS, IMAGE_SOURCE, SOURCE_DATE_EPOCH. bash 3.2 suffices.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case "$target" in /*) ;; *) target=$root/$target ;; esac
out=$target/images

images="kinesis-demo-operator kinesis-demo-generator kinesis-demo-sandbox"
version=$(awk '/^\[/ {part = $0} part == "[workspace.package]" && /^version *=/ {gsub(/[" ]/, "", $3); print $3}' "$root/Cargo.toml")

say() { echo "images: $*" >&2; }
fail() { say "$*"; exit 1; }

description() { # description IMAGE: the description of its crate
  local folder=${1#kinesis-demo-}
  if [ "$folder" = operator ]; then folder=.; fi
  sed -n 's/^description = "\(.*\)"$/\1/p' "$root/$folder/Cargo.toml"
}

command_of() { # command_of IMAGE: the default arguments
  case "$1" in
    kinesis-demo-operator) echo run ;;
    kinesis-demo-sandbox) echo serve ;;
  esac
}

# Docker's names of the platforms, separated by commas or spaces.
platforms=$(echo "${IMAGE_PLATFORMS:-linux/amd64,linux/arm64}" | tr ',' ' ')
architectures=
for platform in $platforms; do
  case "$platform" in
    linux/amd64 | linux/arm64) architectures="$architectures ${platform#linux/}" ;;
    *) fail "IMAGE_PLATFORMS contains $platform; supported are linux/amd64 and linux/arm64" ;;
  esac
done
[ -n "$architectures" ] || fail "IMAGE_PLATFORMS contains no platform"

triple() { # triple ARCHITECTURE: Rust's target triple
  case "$1" in amd64) echo x86_64-unknown-linux-musl ;; arm64) echo aarch64-unknown-linux-musl ;; esac
}

# The commit and its time. Uncommitted changes get the commit's time too, so that the same files give the same image.
if revision=$(git -C "$root" rev-parse --verify --quiet HEAD 2>/dev/null); then
  created=$(git -C "$root" log -1 --format=%ct)
  if [ -n "$(git -C "$root" status --porcelain -- . 2>/dev/null)" ]; then revision=$revision-dirty; fi
else
  revision=unknown
  created=0
fi
created=${SOURCE_DATE_EPOCH:-$created}

sha256() { # sha256 FILE...: lines as sha256sum writes them
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}
