"""Clients that have asked to be registered, and word to every process of what takes access away; migrations 0007 and 0020."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # A pending client is no client yet: nothing that looks for clients sees it. `registration` is the SHA-256 of the token
    # by which whoever registered it may look at it and take it back (RFC 7592).
    "ALTER TABLE {s}.oauth_client ADD COLUMN pending boolean NOT NULL DEFAULT false",
    "ALTER TABLE {s}.oauth_client ADD COLUMN registration bytea",
    "CREATE INDEX oauth_client_pending ON {s}.oauth_client (created_at) WHERE pending",
    # The schema's name is all that is told: whoever listens forgets what it remembers of this tenant.
    """
    CREATE FUNCTION {s}.tell_access() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_notify('clarity_access', TG_TABLE_SCHEMA);
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tell_access AFTER UPDATE OF ended_at ON {s}.oauth_grant
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_access()
    """,
    """
    CREATE TRIGGER tell_access AFTER INSERT ON {s}.oauth_revoked
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_access()
    """,
    """
    CREATE TRIGGER tell_access AFTER UPDATE OF roles, disabled_at, fhir_user ON {s}.person
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_access()
    """,
    """
    CREATE TRIGGER tell_access AFTER UPDATE OR DELETE ON {s}.oauth_client
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_access()
    """,
)

DECIDED: tuple[str, ...] = (
    # A client that is disabled is none for whoever looks for clients, and can be one again. One that was refused goes on
    # being pending, so that it is none either: only who registered it is told why, until the sweep forgets it.
    "ALTER TABLE {s}.oauth_client ADD COLUMN disabled_at timestamptz",
    "ALTER TABLE {s}.oauth_client ADD COLUMN refusal text",
    # Who says that they asked, and the address that did.
    "ALTER TABLE {s}.oauth_client ADD COLUMN contacts text[] NOT NULL DEFAULT ARRAY[]::text[]",
    "ALTER TABLE {s}.oauth_client ADD COLUMN client_uri text",
    "ALTER TABLE {s}.oauth_client ADD COLUMN asked_from text",
)
"""What an administrator decides about, and how; made by migration 0020."""
