"""What topic-based Subscriptions need beside the tables of `work.py`: run by migration 0009."""

from __future__ import annotations

STATEMENTS = (
    # `topic` is the canonical URL (NULL: R4 criteria), `topic_rid` and `topic_version` the Basic that held it when it was judged;
    # `types` are all types that it is about. Such a Subscription is numbered while it is in error too: what was missed is kept.
    # `beat_at` is when the next heartbeat is due. `secret` counts the signing secrets that there were.
    """
    ALTER TABLE {s}.subscription_state
      ADD COLUMN topic text,
      ADD COLUMN topic_rid bigint NOT NULL DEFAULT 0,
      ADD COLUMN topic_version int NOT NULL DEFAULT 0,
      ADD COLUMN types smallint[] NOT NULL DEFAULT '{}',
      ADD COLUMN channel text NOT NULL DEFAULT 'rest-hook',
      ADD COLUMN heartbeat int,
      ADD COLUMN beat_at timestamptz,
      ADD COLUMN secret smallint NOT NULL DEFAULT 0,
      ADD COLUMN secret_at timestamptz
    """,
    "CREATE INDEX subscription_beat ON {s}.subscription_state (beat_at) WHERE status = 'active' AND beat_at IS NOT NULL",
    "CREATE INDEX subscription_topic ON {s}.subscription_state (topic_rid) WHERE topic_rid > 0",
    # `method` is how the version was made; `kept` waits for a socket, or for `$events`.
    "ALTER TABLE {s}.delivery ADD COLUMN method smallint NOT NULL DEFAULT 0, DROP CONSTRAINT delivery_state_check",
    """
    ALTER TABLE {s}.delivery ADD CONSTRAINT delivery_state_check
      CHECK (state IN ('waiting', 'sending', 'delivered', 'skipped', 'dead', 'kept'))
    """,
    "CREATE INDEX delivery_dead ON {s}.delivery (subscription, event) WHERE state = 'dead'",
    "CREATE INDEX delivery_kept ON {s}.delivery (subscription, event) WHERE state = 'kept'",
    # One row: raised whenever who is told of what may be another, so that nobody need read all Subscriptions at every commit.
    "CREATE TABLE {s}.subscription_revision (revision bigint NOT NULL)",
    "INSERT INTO {s}.subscription_revision VALUES (1)",
    # An endpoint (keyed hash of scheme, host and port) that failed often in a row is left alone until `open_until`.
    """
    CREATE TABLE {s}.endpoint_state (
      endpoint bigint PRIMARY KEY,
      failures int NOT NULL DEFAULT 0,
      open_until timestamptz,
      updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # What a socket may be bound to: the digest of a token, for whom, until when; used once.
    """
    CREATE TABLE {s}.socket_binding (
      digest bytea PRIMARY KEY,
      agent int NOT NULL,
      subscriptions bigint[] NOT NULL,
      expires_at timestamptz NOT NULL
    )
    """,
)

UNDO = (
    "DROP TABLE {s}.socket_binding",
    "DROP TABLE {s}.endpoint_state",
    "DROP TABLE {s}.subscription_revision",
    "DROP INDEX {s}.delivery_kept",
    "DROP INDEX {s}.delivery_dead",
    "DELETE FROM {s}.delivery WHERE state = 'kept'",
    "ALTER TABLE {s}.delivery DROP CONSTRAINT delivery_state_check, DROP COLUMN method",
    """
    ALTER TABLE {s}.delivery ADD CONSTRAINT delivery_state_check
      CHECK (state IN ('waiting', 'sending', 'delivered', 'skipped', 'dead'))
    """,
    "DROP INDEX {s}.subscription_beat",
    "DROP INDEX {s}.subscription_topic",
    """
    ALTER TABLE {s}.subscription_state DROP COLUMN topic, DROP COLUMN topic_rid, DROP COLUMN topic_version, DROP COLUMN types,
      DROP COLUMN channel, DROP COLUMN heartbeat, DROP COLUMN beat_at, DROP COLUMN secret, DROP COLUMN secret_at
    """,
)
