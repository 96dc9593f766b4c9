"""JavaScript clients that we did not write, unmodified, against a running server: fhirclient (SMART JS) and fhir-kit-client."""

import json
import secrets

import httpx

from tests.clients.conftest import SCOPE, Instance, Node, opened
from tests.fire.instance import free_port


def test_fhir_kit_client(instance: Instance, node: Node):
    name, secret = instance.backend(f"kit-{secrets.token_hex(4)}")
    process = node.start("kit.mjs", BASE=instance.base, CLIENT_ID=name, CLIENT_SECRET=secret)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    said = json.loads(out)
    assert said["pages"] == 3
    assert said["gone"] == 410
    assert said["refused"] == [400, "OperationOutcome"] or said["refused"] == [422, "OperationOutcome"]
    assert said["endpoints"]["tokenUrl"] == instance.base.replace("/fhir", "/oauth2/token")


async def test_smart_js(instance: Instance, node: Node):
    port = free_port()
    name = instance.app(f"smart-js-{secrets.token_hex(4)}", f"http://127.0.0.1:{port}/callback")
    process = node.start("smart_app.cjs", BASE=instance.base, CLIENT_ID=name, SCOPE=SCOPE, APP_PORT=str(port))
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(port)
        async with httpx.AsyncClient(timeout=60) as http:
            sent = await http.get(f"http://127.0.0.1:{port}/launch")
            assert sent.status_code in (302, 303), sent.text
            answer = await http.get(await opened(instance, sent.headers["location"]))
        assert answer.status_code == 200, answer.text
        said = answer.json()
    finally:
        process.kill()
        process.communicate()
    assert said["patient"] == said["subject"] == said["after"] == instance.patient
    assert (said["user"], said["fhirUser"]) == ("adeyemi", "Practitioner/adeyemi")
    assert said["found"] >= 5
    assert (said["bundle"], said["status"]) == ("Bundle", ["amended", "corrected"])
    assert (said["refreshed"], said["pkce"], said["id_token"]) == (True, True, True)
    assert said["foreign"] == 404
    assert set(said["scope"].split()) == set(SCOPE.split())
