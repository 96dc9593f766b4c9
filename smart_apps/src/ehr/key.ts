/** Keys of clients that were registered on this page: made here, never exported, gone with the page (RFC 7523, SMART asymmetric). */
const ES384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** Seconds that an assertion holds: SMART allows five minutes. */
const HOLDS = 120;

export interface Key {
  kid: string;
  private_: CryptoKey;
  /** What the server is told. */
  jwks: { keys: JsonWebKey[] };
}

const kept = new Map<string, Key>();

export async function make(): Promise<Key> {
  const pair = await crypto.subtle.generateKey(ES384, false, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const kid = random();
  return { kid, private_: pair.privateKey, jwks: { keys: [{ kty, crv, x, y, kid, alg: "ES384", use: "sig" } as JsonWebKey] } };
}

export function keep(client: string, key: Key): void {
  kept.set(client, key);
}

export function keyOf(client: string): Key | null {
  return kept.get(client) ?? null;
}

/** What a client that proves itself by its key sends with a request for a token. */
export async function assertion(client: string, key: Key, audience: string): Promise<Record<string, string>> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: client, sub: client, aud: audience, jti: random(), iat: now, exp: now + HOLDS };
  const text = [{ alg: "ES384", kid: key.kid, typ: "JWT" }, claims].map((part) => base64url(new TextEncoder().encode(JSON.stringify(part)))).join(".");
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, key.private_, new TextEncoder().encode(text));
  return { client_assertion_type: ASSERTION, client_assertion: `${text}.${base64url(new Uint8Array(signature))}` };
}

export function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
