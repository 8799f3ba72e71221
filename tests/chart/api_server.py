"""A Kubernetes API server for the lifecycle tests of the chart: etcd and kube-apiserver on loopback,
without nodes or controllers.

In: the folder of the programs ($KUBEBUILDER_ASSETS, or the cache of hack/envtest/envtest). Out: kubectl
and helm that talk to it. Starts processes and stops those that it started. All files are in one
temporary folder.
"""

import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from chart import ROOT, run


def assets():
    """The folder with etcd, kube-apiserver and kubectl. Does not fetch or build anything."""
    ended = run(ROOT / "hack/envtest/envtest", "--cached")
    folder = pathlib.Path(ended.stdout.strip())
    if ended.returncode != 0 or not (folder / "kubectl").exists():
        raise unittest.SkipTest("no kube-apiserver, etcd and kubectl: run hack/envtest/envtest, or set $KUBEBUILDER_ASSETS")
    return folder


def free_ports(count):
    """Ports that are currently free."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class ApiServer:
    """Runs from construction until `stop`."""

    def __init__(self):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        self.programs = assets()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kinesisdemo-chart-"))
        self.processes, self.logs = [], []
        # On SIGTERM the test run exits and stops its servers.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        client, peer, api = free_ports(3)
        token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', encoding="utf-8")
        key = self.folder / "sa.key"
        run("openssl", "genrsa", "-out", key, "2048")
        self.spawn("etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{client}",
                   f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync", "--log-level=warn")
        self.spawn("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1", f"--secure-port={api}",
                   f"--cert-dir={self.folder}/certificates", f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC",
                   "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
                   f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount")
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {"server": f"https://127.0.0.1:{api}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        }), encoding="utf-8")
        # The user's kubeconfig and Helm settings are neither read nor written.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        self.environment.update(KUBECONFIG=str(self.kubeconfig), HOME=str(self.folder), HELM_NAMESPACE="default",
                                HELM_CACHE_HOME=f"{self.folder}/helm", HELM_CONFIG_HOME=f"{self.folder}/helm", HELM_DATA_HOME=f"{self.folder}/helm")
        until = time.monotonic() + 120
        while self.command(self.programs / "kubectl", "get", "--raw", "/readyz").returncode != 0:
            if time.monotonic() > until or any(process.poll() is not None for process in self.processes):
                raise AssertionError("the API server did not start: " + "".join(log.read_text(encoding="utf-8")[-1500:] for log in self.folder.glob("*.log")))
            time.sleep(0.2)

    def spawn(self, program, *arguments):
        log = (self.folder / f"{program}.log").open("w", encoding="utf-8")
        self.logs.append(log)
        self.processes.append(subprocess.Popen([self.programs / program, *arguments], stdout=log, stderr=log))

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        for log in self.logs:
            log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words, stdin=None):
        """Runs a program with this cluster in its environment and returns the completed process."""
        return run(*words, stdin=stdin, env=self.environment)

    def kubectl(self, *words, stdin=None):
        """The output of kubectl. Raises an AssertionError with its stderr if it fails."""
        ended = self.command(self.programs / "kubectl", *words, stdin=stdin)
        if ended.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, words))}: {ended.stderr}")
        return ended.stdout

    def wait_until_established(self, definition):
        """Waits until the API server serves a new definition. `kubectl wait` fails at once as long as the definition has no conditions."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            conditions = (self.get("crd", definition) or {}).get("status", {}).get("conditions") or []
            if any((one["type"], one["status"]) == ("Established", "True") for one in conditions):
                return
            time.sleep(0.1)
        raise AssertionError(f"{definition} was not established within 60 s")

    def get(self, *words):
        """The object that `kubectl get` finds, or None."""
        found = self.kubectl("get", *words, "--ignore-not-found", "--output", "json")
        return json.loads(found) if found.strip() else None
