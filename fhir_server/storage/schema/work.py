"""What changed, who must act on it, and what the twin keeps decoded."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE {s}.outbox (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
      rid bigint NOT NULL,
      at timestamptz NOT NULL,
      version int NOT NULL,
      type smallint NOT NULL,
      method smallint NOT NULL,
      origin smallint NOT NULL,
      patients bigint[]
    )
    """,
    "CREATE INDEX outbox_tx ON {s}.outbox (tx, id)",
    # A reader's place: everything visible in `done` is read; between `done` and `target` it has read up to `last_id`.
    """
    CREATE TABLE {s}.outbox_position (
      consumer text PRIMARY KEY,
      done pg_snapshot NOT NULL,
      target pg_snapshot NOT NULL,
      last_id bigint NOT NULL
    )
    """,
    """
    CREATE TABLE {s}.job (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      kind text NOT NULL,
      key text NOT NULL,
      payload jsonb NOT NULL DEFAULT '{}',
      state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'done', 'dead')),
      attempts int NOT NULL DEFAULT 0,
      fence bigint NOT NULL DEFAULT 0,
      dirty bool NOT NULL DEFAULT false,
      run_at timestamptz NOT NULL DEFAULT now(),
      lease_until timestamptz,
      last_error text,
      created_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz,
      UNIQUE (kind, key)
    )
    """,
    "CREATE INDEX job_ready ON {s}.job (run_at) WHERE state = 'ready'",
    "CREATE INDEX job_leased ON {s}.job (lease_until) WHERE state = 'running'",
    """
    CREATE TABLE {s}.signal_block (
      patient bigint NOT NULL,
      signal smallint NOT NULL,
      day date NOT NULL,
      key_id int NOT NULL,
      body bytea STORAGE EXTERNAL NOT NULL,
      PRIMARY KEY (patient, signal, day)
    )
    """,
    # Observations that changed and are not yet in the blocks of their patient.
    """
    CREATE TABLE {s}.signal_pending (
      patient bigint NOT NULL,
      rid bigint NOT NULL,
      PRIMARY KEY (patient, rid)
    )
    """,
    # UTC days whose blocks changed and whose twin states are not yet computed from them.
    """
    CREATE TABLE {s}.signal_changed (
      patient bigint NOT NULL,
      day date NOT NULL,
      PRIMARY KEY (patient, day)
    )
    """,
    # Which block rows an Observation put where, so that a correction or deletion finds them.
    """
    CREATE TABLE {s}.signal_source (
      rid bigint NOT NULL,
      patient bigint NOT NULL,
      signal smallint NOT NULL,
      day date NOT NULL,
      PRIMARY KEY (rid, signal, day)
    )
    """,
    # An R4 Subscription as the workers know it. `version` is the one that its author (`agent`, asked again at every send) wrote
    # and whose criteria hold; criteria, endpoint and headers stay in its body, `endpoint` is the keyed hash of scheme, host and
    # port. `events` numbers densely; `next_at` is when the first waiting delivery is due, NULL when none waits.
    """
    CREATE TABLE {s}.subscription_state (
      rid bigint PRIMARY KEY,
      version int NOT NULL,
      agent int NOT NULL,
      status text NOT NULL CHECK (status IN ('active', 'off', 'error')),
      criteria_type smallint NOT NULL,
      endpoint bigint NOT NULL,
      events bigint NOT NULL DEFAULT 0,
      ends_at timestamptz,
      next_at timestamptz,
      lease_until timestamptz,
      fence bigint NOT NULL DEFAULT 0,
      last_error text,
      updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX subscription_due ON {s}.subscription_state (next_at) WHERE status = 'active' AND next_at IS NOT NULL",
    # One version of a resource that one Subscription is to be told of. `sending` is written before the first byte leaves, so
    # that what may have been disclosed is known after any crash.
    """
    CREATE TABLE {s}.delivery (
      subscription bigint NOT NULL,
      event bigint NOT NULL,
      rid bigint NOT NULL,
      version int NOT NULL,
      state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'delivered', 'skipped', 'dead')),
      attempts int NOT NULL DEFAULT 0,
      last_status int,
      created_at timestamptz NOT NULL DEFAULT now(),
      done_at timestamptz,
      PRIMARY KEY (subscription, event)
    )
    """,
    "CREATE INDEX delivery_open ON {s}.delivery (subscription, event) WHERE state IN ('waiting', 'sending')",
    "CREATE INDEX delivery_done ON {s}.delivery USING brin (done_at)",
    "CREATE UNIQUE INDEX delivery_once ON {s}.delivery (subscription, rid, version)",
)
