"""Clients, signing keys, agents and the audit trail."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE {s}.oauth_client (
      client_id text PRIMARY KEY,
      name text NOT NULL,
      method text NOT NULL CHECK (method IN ('private_key_jwt', 'client_secret')),
      scope text NOT NULL,
      secret_hash text,
      jwks text,
      jwks_uri text,
      created_at timestamptz NOT NULL DEFAULT now(),
      CHECK ((method = 'client_secret') = (secret_hash IS NOT NULL)),
      CHECK ((method = 'private_key_jwt') = ((jwks IS NULL) <> (jwks_uri IS NULL)))
    )
    """,
    # A jti is kept by its hash until its assertion can no longer be valid: the primary key is what refuses a replay.
    """
    CREATE TABLE {s}.oauth_jti (
      issuer text NOT NULL,
      digest bytea NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (issuer, digest)
    )
    """,
    "CREATE INDEX oauth_jti_expires ON {s}.oauth_jti (expires_at)",
    # Private keys of access tokens, sealed by the tenant's key store: a dump of the database cannot sign.
    """
    CREATE TABLE {s}.signing_key (
      kid text PRIMARY KEY,
      created_at timestamptz NOT NULL DEFAULT now(),
      retired_at timestamptz,
      sealed bytea NOT NULL
    )
    """,
    # Who acts, once for each combination of client, person, patient context and scope; audit rows name it by number.
    """
    CREATE TABLE {s}.agent (
      id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      digest bytea NOT NULL UNIQUE,
      client_id text NOT NULL,
      person text,
      patient text,
      scope text NOT NULL
    )
    """,
    "CREATE INDEX agent_client ON {s}.agent (client_id)",
    "CREATE INDEX agent_person ON {s}.agent (person) WHERE person IS NOT NULL",
    """
    CREATE TABLE {s}.audit (
      recorded timestamptz NOT NULL,
      id bigint GENERATED ALWAYS AS IDENTITY,
      rid bigint,
      agent int NOT NULL,
      version int,
      type smallint,
      interaction smallint NOT NULL,
      status smallint NOT NULL,
      patients bigint[],
      request text NOT NULL,
      address text,
      detail bytea,
      PRIMARY KEY (recorded, id)
    ) PARTITION BY RANGE (recorded)
    """,
    "CREATE INDEX audit_patients ON {s}.audit USING gin (patients)",
    "CREATE INDEX audit_agent ON {s}.audit (agent, recorded)",
    "CREATE INDEX audit_entity ON {s}.audit (rid, recorded) WHERE rid IS NOT NULL",
    "CREATE INDEX audit_refused ON {s}.audit (recorded) WHERE status >= 400",
    # Nobody changes what was recorded; a month past its retention is dropped as a partition.
    """
    CREATE FUNCTION {s}.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'audit rows are never changed or deleted';
    END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON {s}.audit
    FOR EACH ROW EXECUTE FUNCTION {s}.audit_is_append_only()
    """,
    # The partition of a month, if it is not there yet: called ahead of time, and by a writer that finds none.
    """
    CREATE FUNCTION {s}.audit_month(month date) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      EXECUTE format(
        'CREATE TABLE IF NOT EXISTS {s}.audit_%s PARTITION OF {s}.audit FOR VALUES FROM (%L) TO (%L)',
        to_char(month, 'YYYY_MM'), to_char(month, 'YYYY-MM-01') || ' 00:00:00+00',
        to_char(month + interval '1 month', 'YYYY-MM-01') || ' 00:00:00+00');
    END $$
    """,
    """
    SELECT {s}.audit_month((date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month')::date)
    FROM generate_series(0, 3) AS ahead
    """,
)
