// An app on fhirclient (SMART JS) without a browser: /launch sends to the server's authorize endpoint, /callback gets the token and
// does what an app does. Prints its port when it listens.
const http = require("node:http");
const smart = require("fhirclient");

const kept = new Map();
const storage = () => ({
  get: async (key) => kept.get(key),
  set: async (key, value) => { kept.set(key, value); return value; },
  unset: async (key) => kept.delete(key),
});

async function use(client) {
  const patient = await client.patient.read();
  const made = [];
  for (let n = 0; n < 5; n++) {
    made.push(await client.create({
      resourceType: "Observation", status: "final", code: { text: "steps" }, subject: { reference: `Patient/${client.patient.id}` },
      effectiveDateTime: `2026-01-0${n + 1}`, valueQuantity: { value: n },
    }));
  }
  const flat = await client.request(`Observation?patient=${client.patient.id}&_count=2`, { pageLimit: 0, flat: true });
  const mine = await client.patient.request("Observation?_count=50&_sort=date");
  const changed = await client.update({ ...made[0], status: "amended" });
  const patched = await client.patch(`Observation/${made[1].id}`, [{ op: "replace", path: "/status", value: "corrected" }]);
  await client.delete(`Observation/${made[2].id}`);
  const resolved = await client.request(`Observation/${made[0].id}`, { resolveReferences: ["subject"] });
  const before = client.state.tokenResponse.access_token;
  await client.refresh();
  const after = await client.request(`Patient/${client.patient.id}`);
  const foreign = await client.request("Patient/nobody").catch((error) => error.statusCode || error.status);
  return {
    patient: patient.id, user: await client.user.read().then((found) => found.id), fhirUser: client.user.fhirUser,
    found: flat.length, bundle: mine.resourceType, status: [changed.status, patched.status], subject: resolved.subject.id,
    refreshed: before !== client.state.tokenResponse.access_token, after: after.id, foreign, scope: client.state.tokenResponse.scope,
    pkce: Boolean(client.state.codeVerifier), id_token: client.getState("tokenResponse.id_token") !== undefined,
  };
}

const server = http.createServer(async (request, response) => {
  const path = new URL(request.url, "http://here").pathname;
  try {
    if (path === "/launch") {
      await smart(request, response, storage()).authorize({
        iss: process.env.BASE, clientId: process.env.CLIENT_ID, scope: process.env.SCOPE, pkceMode: "required",
        redirectUri: `http://127.0.0.1:${server.address().port}/callback`,
      });
    } else if (path === "/callback") {
      const found = await use(await smart(request, response, storage()).ready());
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(found));
    } else {
      response.writeHead(404).end();
    }
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain" });
    response.end(String(error.stack || error));
  }
});
server.listen(Number(process.env.APP_PORT), "127.0.0.1", () => console.log(server.address().port));
