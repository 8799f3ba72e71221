"""Shared fixtures of the tests of foundation/: the template, and an AWS emulator on a loopback port."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "foundation" / "template.yaml"
REGION = "us-east-1"


class Emulator:
    """A running ministack."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def client(self, service):
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.endpoint, aws_access_key_id="test", aws_secret_access_key="test"
        )


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("ministack")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        # ministack looks for a Docker daemon, so point it to a socket that does not exist.
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"
    give_up_at = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1).read()
            break
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > give_up_at:
                process.kill()
                pytest.fail(f"ministack does not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
    yield Emulator(endpoint)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
