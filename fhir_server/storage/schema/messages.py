"""Messages to people: what became of each, which contact points are verified, who wants none. Run by migration 0011."""

from __future__ import annotations

STATEMENTS = (
    # One row for a recipient of a Communication. `ref` is what providers are told in place of anything of ours; `address` is a
    # keyed hash of the contact point, `carrier` the ref of the message that went out for this one too. A row is `sending` before
    # the first byte leaves; `attempts` fences who notes what came of it.
    """
    CREATE TABLE {s}.message (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      ref text NOT NULL UNIQUE,
      communication bigint NOT NULL,
      position smallint NOT NULL,
      recipient bigint NOT NULL,
      reason text NOT NULL,
      urgent bool NOT NULL,
      state text NOT NULL DEFAULT 'waiting' CHECK (state IN
        ('waiting', 'sending', 'sent', 'received', 'undelivered', 'unknown', 'refused', 'dead', 'withdrawn')),
      why text,
      channel text,
      transport text,
      address bigint,
      carrier text,
      provider_id text,
      attempts int NOT NULL DEFAULT 0,
      next_at timestamptz NOT NULL DEFAULT now(),
      created_at timestamptz NOT NULL DEFAULT now(),
      started_at timestamptz,
      sent_at timestamptz,
      ended_at timestamptz,
      UNIQUE (communication, position)
    )
    """,
    "CREATE INDEX message_waiting ON {s}.message (recipient, reason) WHERE state = 'waiting'",
    "CREATE INDEX message_sent ON {s}.message (recipient, sent_at) WHERE sent_at IS NOT NULL",
    "CREATE INDEX message_carrier ON {s}.message (carrier) WHERE carrier IS NOT NULL",
    "CREATE INDEX message_provider ON {s}.message (provider_id) WHERE provider_id IS NOT NULL",
    "CREATE INDEX message_dead ON {s}.message (id) WHERE state = 'dead'",
    # A contact point of a person, by its hash: proved by a code (derived from the row, stored nowhere) or vouched for. `holder` is
    # the resource that states it.
    """
    CREATE TABLE {s}.contact (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      person bigint NOT NULL,
      holder bigint NOT NULL,
      address bigint NOT NULL,
      channel text NOT NULL,
      nonce bytea,
      codes smallint NOT NULL DEFAULT 0,
      tries smallint NOT NULL DEFAULT 0,
      asked_at timestamptz,
      told_at timestamptz,
      why text,
      verified_at timestamptz,
      verified_by text,
      UNIQUE (person, address)
    )
    """,
    # Contact points that want no messages, whosever they are, and who said so: owner, complaint, bounce, administrator.
    """
    CREATE TABLE {s}.message_opt_out (
      address bigint PRIMARY KEY,
      source text NOT NULL,
      at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # Answers that were taken: a signed request that comes again later must not undo what was said since.
    """
    CREATE TABLE {s}.message_answer (
      provider_id text PRIMARY KEY,
      at timestamptz NOT NULL DEFAULT now()
    )
    """,
)

UNDO = ("message_answer", "message_opt_out", "contact", "message")
"""Tables, the last first."""
