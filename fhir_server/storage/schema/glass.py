"""Emergency access that people have taken: by whom, to whose record, why, until when (migration 0006). Rows stay."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # `agent` is who may, with that app and those scopes; `reason` is sealed; `notice` is the Communication in the record.
    """
    CREATE TABLE {s}.glass (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      agent int NOT NULL REFERENCES {s}.agent,
      patient bigint NOT NULL,
      reason bytea NOT NULL,
      notice text NOT NULL,
      began_at timestamptz NOT NULL,
      ends_at timestamptz NOT NULL CHECK (ends_at > began_at)
    )
    """,
    "CREATE INDEX glass_agent ON {s}.glass (agent, ends_at)",
)
