"""Python FHIR clients that we did not write, unmodified, against a running server: fhirclient (SMART) and fhirpy."""

import secrets

import httpx
import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from tests.clients.conftest import SCOPE, Instance, opened

CALLBACK = "http://127.0.0.1:9/callback"


async def test_smart_python(instance: Instance):
    app = instance.app(f"smart-py-{secrets.token_hex(4)}", CALLBACK)
    settings = {"app_id": app, "api_base": instance.base, "redirect_uri": CALLBACK, "scope": SCOPE}
    smart = FHIRClient(settings=settings)
    assert smart.prepare() is False, "it needs the person"
    smart.handle_callback(await opened(instance, smart.authorize_url))
    assert smart.ready
    assert smart.patient.id == instance.patient
    assert smart.human_name(smart.patient.name[0]) == "Ada Lovelace"

    made = []
    for number in range(5):
        mood = Observation()
        mood.status, mood.code = "final", CodeableConcept({"text": f"mood {number}"})
        mood.subject = FHIRReference({"reference": f"Patient/{smart.patient.id}"})
        made.append(mood.create(smart.server))
    first = Observation.read(made[0]["id"], smart.server)
    first.status = "amended"
    assert first.update(smart.server)["meta"]["versionId"] == "2"
    search = Observation.where({"patient": smart.patient.id, "_count": "2"})
    assert {each["id"] for each in made} <= {each.id for each in search.perform_resources_iter(smart.server)}
    found = Patient.where({"family": "lovelace"}).perform_resources_iter(smart.server)
    assert [each.id for each in found] == [instance.patient]
    first.delete()
    assert smart.reauthorize()
    assert Observation.read(made[1]["id"], smart.server).status == "final"


@pytest.fixture
def authorization(instance: Instance) -> str:
    name, secret = instance.backend(f"fhirpy-{secrets.token_hex(4)}")
    said = httpx.get(f"{instance.base}/.well-known/smart-configuration").json()
    form = {"grant_type": "client_credentials", "scope": "system/*.cruds"}
    return f"Bearer {httpx.post(said['token_endpoint'], data=form, auth=(name, secret)).json()['access_token']}"


def test_fhirpy(instance: Instance, authorization: str):
    # Its count() sends a parameter of its own (_totalMethod): what is not known is ignored for who asks for leniency.
    client = SyncFHIRClient(instance.base, authorization, extra_headers={"Prefer": "handling=lenient"})
    family = f"Py{secrets.token_hex(4)}"
    people = [client.resource("Patient", name=[{"family": family, "given": [f"n{n}"]}]) for n in range(7)]
    for each in people:
        each.save()
    assert len({each.id for each in people}) == 7
    found = client.resources("Patient").search(family=family).limit(3)
    assert found.count() == 7
    assert {each.id for each in found.fetch_all()} == {each.id for each in people}
    assert [each.name[0].given[0] for each in client.resources("Patient").search(family=family).sort("_id").limit(2)]
    one = client.reference("Patient", people[0].id).to_resource()
    one["active"] = True
    one.save()
    assert one["meta"]["versionId"] == "2"
    # Its patch() and get_or_create() are Aidbox's: a JSON Merge Patch, criteria in the URL of a POST. R4 has neither.
    one["gender"] = "female"
    one.update()
    assert client.resources("Patient").search(_id=one.id).get()["gender"] == "female"
    mood = client.resource("Observation", status="final", code={"text": "mood"}, subject=one.to_reference())
    mood.save()
    assert client.resources("Observation").include("Observation", "subject").search(subject=one).first().id == mood.id
    bundle = client.resource(
        "Bundle", type="batch", entry=[{"request": {"method": "GET", "url": f"/Patient/{one.id}"}}]
    )
    assert client.execute("", data=bundle.serialize())["entry"][0]["response"]["status"].startswith("200")
    mood.delete()
    with pytest.raises(ResourceNotFound):
        client.resources("Patient").search(_id="nobody").get()
    with pytest.raises(OperationOutcome):
        client.resource("Patient", gender="x").save()


async def test_fhirpy_async(instance: Instance, authorization: str):
    client = AsyncFHIRClient(instance.base, authorization=authorization)
    family = f"Pa{secrets.token_hex(4)}"
    for number in range(5):
        await client.resource("Patient", name=[{"family": family, "given": [f"n{number}"]}]).save()
    seen = [each.id async for each in client.resources("Patient").search(family=family).limit(2)]
    assert len(set(seen)) == 5
