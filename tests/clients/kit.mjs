// fhir-kit-client as its README has it: discovery, a backend service's token, and every basic interaction. Prints one JSON object.
import { strict as assert } from "node:assert";

const { Client } = await import(`${process.env.PACKAGES}/fhir-kit-client/dist/index.js`);
const { BASE, CLIENT_ID, CLIENT_SECRET } = process.env;

const client = new Client({ baseUrl: BASE });
const endpoints = await client.smartAuthMetadata();
const answer = await fetch(endpoints.tokenUrl, {
  method: "POST",
  headers: { authorization: `Basic ${Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString("base64")}` },
  body: new URLSearchParams({ grant_type: "client_credentials", scope: "system/*.cruds" }),
});
client.bearerToken = (await answer.json()).access_token;

const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, "4.0.1");

const family = `Kit-${process.pid}`;
const created = [];
for (let n = 0; n < 7; n++) {
  const body = { resourceType: "Patient", name: [{ family, given: [`n${n}`] }] };
  created.push(await client.create({ resourceType: "Patient", body }));
}
const first = await client.read({ resourceType: "Patient", id: created[0].id });
assert.equal(first.name[0].given[0], "n0");

const updated = await client.update({ resourceType: "Patient", id: first.id, body: { ...first, active: true } });
assert.equal(updated.meta.versionId, "2");
const before = await client.vread({ resourceType: "Patient", id: first.id, version: "1" });
assert.equal(before.active, undefined);
const patched = await client.patch({
  resourceType: "Patient", id: first.id, jsonPatch: [{ op: "replace", path: "/active", value: false }],
});
assert.equal(patched.active, false);

let page = await client.search({ resourceType: "Patient", searchParams: { family, _count: "3", _sort: "_id" } });
const seen = [];
let pages = 0;
while (page) {
  pages += 1;
  seen.push(...page.entry.map((entry) => entry.resource.id));
  page = await client.nextPage({ bundle: page });
}
assert.deepEqual([...seen].sort(), created.map((each) => each.id).sort());

const posted = await client.resourceSearch({
  resourceType: "Patient", searchParams: { family }, options: { postSearch: true },
});
assert.equal(posted.entry.length, 7);

const history = await client.history({ resourceType: "Patient", id: first.id });
assert.equal(history.entry.length, 3);

const bundle = await client.transaction({
  body: {
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      { fullUrl: "urn:uuid:3f0c6f0e-6e0f-4f3a-9d4a-0d1d4a3c9d11", request: { method: "POST", url: "Patient" },
        resource: { resourceType: "Patient", name: [{ family }] } },
      { request: { method: "POST", url: "Observation" },
        resource: { resourceType: "Observation", status: "final", code: { text: "mood" },
                    subject: { reference: "urn:uuid:3f0c6f0e-6e0f-4f3a-9d4a-0d1d4a3c9d11" } } },
    ],
  },
});
assert.equal(bundle.entry.length, 2);
const observation = await client.resolve({ reference: bundle.entry[1].response.location.split("/_history")[0] });
const subject = await client.resolve({ reference: observation.subject.reference });
assert.equal(subject.name[0].family, family);
const compartment = await client.compartmentSearch({
  resourceType: "Observation", compartment: { resourceType: "Patient", id: subject.id },
});
assert.equal(compartment.entry.length, 1);

await client.delete({ resourceType: "Patient", id: created[1].id });
const gone = await client.read({ resourceType: "Patient", id: created[1].id }).catch((error) => error.response);
const refused = await client.create({ resourceType: "Patient", body: { resourceType: "Patient", gender: "x" } })
  .catch((error) => error.response);
console.log(JSON.stringify({
  pages, gone: gone.status, refused: [refused.status, refused.data.resourceType],
  endpoints: Object.fromEntries(Object.entries(endpoints).map(([name, url]) => [name, String(url)])),
}));
