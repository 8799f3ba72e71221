# Sourced by the scripts of this folder and of hack/kind: the cluster, and the demo's names in it.
# In: CONTEXT, KUBECONFIG, REGISTRY, CLUSTER_LOAD, CARGO_TARGET_DIR. bash 3.2 suffices.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case "$target" in /*) ;; *) target=$root/$target ;; esac
version=$(awk '/^\[/ {part = $0} part == "[workspace.package]" && /^version *=/ {gsub(/[" ]/, "", $3); print $3}' "$root/Cargo.toml")

images="kinesis-demo-operator kinesis-demo-generator kinesis-demo-sandbox"
release=kinesis-demo-operator
system=kinesis-demo-system
demos=demos
# The mark on namespaces that the demo created; others are never deleted.
mark=kinesisdemo.io/cluster-demo

fail() { echo "${0##*/}: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: $2"; }

# The current context may be left from other work, so it is never used.
context_named() { # context_named MAKE-TARGET
  need kubectl https://kubernetes.io/docs/tasks/tools
  if [ -z "${CONTEXT:-}" ]; then
    echo "CONTEXT is not set, and the current context is not used by default. Run: make $1 CONTEXT=…" >&2
    echo "Available contexts: $(kubectl config get-contexts --output=name 2>/dev/null | tr '\n' ' ')" >&2
    exit 2
  fi
  kubectl config get-contexts "$CONTEXT" >/dev/null 2>&1 || fail "context $CONTEXT does not exist in ${KUBECONFIG:-your kubeconfig}"
}

k() { kubectl --context "$CONTEXT" "$@"; }
h() { helm --kube-context "$CONTEXT" "$@"; }
