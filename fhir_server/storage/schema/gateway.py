"""What was sent to language models, and what came back: run by migration 0013."""

from __future__ import annotations

STATEMENTS = (
    # `sent` and `received` are encrypted under the patient's key: erasing the patient erases them. `tokens` is what the call may
    # take at most until it is over, then what it took; the day's budget is its sum.
    """
    CREATE TABLE {s}.disclosure (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      patient bigint NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      ended_at timestamptz,
      agent int NOT NULL,
      host text NOT NULL,
      model text NOT NULL,
      role text NOT NULL,
      template text NOT NULL,
      state text NOT NULL DEFAULT 'sending',
      sources int NOT NULL,
      withheld int NOT NULL,
      tokens int NOT NULL,
      prompt_tokens int,
      completion_tokens int,
      key_id int NOT NULL,
      sent bytea NOT NULL,
      received bytea
    )
    """,
    "CREATE INDEX disclosure_at ON {s}.disclosure (at) INCLUDE (tokens)",
    "CREATE INDEX disclosure_patient ON {s}.disclosure (patient, at)",
)

UNDO = ("DROP TABLE {s}.disclosure",)
