"""Content outside the database: run by migration 0013, beside `gateway.py`."""

from __future__ import annotations

STATEMENTS = (
    # `fhir_id` and `version` say for which version of which Binary it was kept; `settled` once that is known to be committed.
    """
    CREATE TABLE {s}.blob (
      name text PRIMARY KEY,
      fhir_id text NOT NULL,
      version int NOT NULL,
      size bigint NOT NULL,
      key_id int NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      settled boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX blob_unsettled ON {s}.blob (created_at) WHERE NOT settled",
    "CREATE INDEX blob_key ON {s}.blob (key_id)",
)

UNDO = ("DROP TABLE {s}.blob",)
