"""People, their sessions, and what they have allowed apps to do (SMART App Launch); made by migration 0003.

Codes, refresh tokens, launch handles and cookies are kept as SHA-256: whoever reads the table can use none of them. What could
tell who somebody is (login, name) or what an app was opened for is sealed with the tenant's key.
"""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # A public client proves nothing (method 'none'); one that launches has redirect URIs, compared letter for letter.
    "ALTER TABLE {s}.oauth_client DROP CONSTRAINT oauth_client_method_check",
    "ALTER TABLE {s}.oauth_client ADD CHECK (method IN ('private_key_jwt', 'client_secret', 'none'))",
    "ALTER TABLE {s}.oauth_client ADD COLUMN redirect_uris text[] NOT NULL DEFAULT ARRAY[]::text[]",
    "ALTER TABLE {s}.oauth_client ADD COLUMN launch_url text",
    # `login` is a keyed hash: people are found by it, and it tells no name. `profile` seals login, name and TOTP secret.
    """
    CREATE TABLE {s}.person (
      id text PRIMARY KEY,
      login bytea NOT NULL UNIQUE,
      profile bytea NOT NULL,
      fhir_user text,
      roles text[] NOT NULL,
      password text NOT NULL,
      totp_step bigint NOT NULL DEFAULT 0,
      disabled_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE {s}.session (
      digest bytea PRIMARY KEY,
      person text NOT NULL REFERENCES {s}.person ON DELETE CASCADE,
      began_at timestamptz NOT NULL,
      seen_at timestamptz NOT NULL,
      ended_at timestamptz
    )
    """,
    "CREATE INDEX session_person ON {s}.session (person)",
    # Failures by account, address or client; who fails often waits, longer each time.
    """
    CREATE TABLE {s}.failure (
      key bytea PRIMARY KEY,
      count int NOT NULL,
      last_at timestamptz NOT NULL,
      attempt bytea NOT NULL
    )
    """,
    # One authorization: what a person allowed an app. Everything issued under it ends with it.
    """
    CREATE TABLE {s}.oauth_grant (
      id text PRIMARY KEY,
      client_id text NOT NULL,
      person text NOT NULL REFERENCES {s}.person ON DELETE CASCADE,
      session bytea,
      scope text NOT NULL,
      patient text,
      context bytea NOT NULL,
      created_at timestamptz NOT NULL,
      ended_at timestamptz
    )
    """,
    "CREATE INDEX oauth_grant_person ON {s}.oauth_grant (person)",
    "CREATE INDEX oauth_grant_client ON {s}.oauth_grant (client_id)",
    """
    CREATE TABLE {s}.oauth_code (
      digest bytea PRIMARY KEY,
      grant_id text NOT NULL REFERENCES {s}.oauth_grant ON DELETE CASCADE,
      redirect_uri text NOT NULL,
      challenge text NOT NULL,
      expires_at timestamptz NOT NULL,
      used_at timestamptz
    )
    """,
    "CREATE INDEX oauth_code_expires ON {s}.oauth_code (expires_at)",
    # A used one stays until it would have run out: presenting it again ends the authorization.
    """
    CREATE TABLE {s}.oauth_refresh (
      digest bytea PRIMARY KEY,
      grant_id text NOT NULL REFERENCES {s}.oauth_grant ON DELETE CASCADE,
      expires_at timestamptz NOT NULL,
      used_at timestamptz
    )
    """,
    "CREATE INDEX oauth_refresh_grant ON {s}.oauth_refresh (grant_id)",
    "CREATE INDEX oauth_refresh_expires ON {s}.oauth_refresh (expires_at)",
    """
    CREATE TABLE {s}.oauth_launch (
      digest bytea PRIMARY KEY,
      client_id text NOT NULL,
      person text,
      context bytea NOT NULL,
      expires_at timestamptz NOT NULL,
      used_at timestamptz
    )
    """,
    "CREATE INDEX oauth_launch_expires ON {s}.oauth_launch (expires_at)",
    # Access tokens that were revoked one by one, until they would have run out.
    """
    CREATE TABLE {s}.oauth_revoked (
      token_id text PRIMARY KEY,
      expires_at timestamptz NOT NULL
    )
    """,
)
