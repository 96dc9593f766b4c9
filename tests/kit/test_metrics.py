"""Numbers of several processes come out as one."""

import subprocess
import sys
from pathlib import Path

from fhir_server import settings
from fhir_server.kit import metrics

CHILD = """
from fhir_server.kit import metrics
metrics.observe_request("read", "Patient", 200, 0.004)
metrics.COMMIT_RETRIES.labels("version").inc()
metrics.QUEUE_DEPTH.labels("twin").set(3)
"""


def test_this_process_alone() -> None:
    metrics.observe_request("alone", "Observation", 201, 0.002)
    text = metrics.render().decode()
    assert 'clarity_request_seconds_count{interaction="alone",status="201",type="Observation"} 1.0' in text


def test_processes_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    environment = settings.environment(PROMETHEUS_MULTIPROC_DIR=str(folder))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", CHILD], env=environment, check=True)
    text = metrics.render(folder).decode()
    assert 'clarity_request_seconds_count{interaction="read",status="200",type="Patient"} 2.0' in text
    assert 'clarity_commit_retries_total{reason="version"} 2.0' in text
    assert 'clarity_queue_depth{kind="twin"} 3.0' in text
