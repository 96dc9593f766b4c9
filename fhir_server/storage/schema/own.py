"""Search parameters of the tenant's own, and requests that are answered later."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # One row. `revision` changes with everything that processes must learn of, `generation` with what is written for a resource.
    """
    CREATE TABLE {s}.own_state (
      one bool PRIMARY KEY DEFAULT true CHECK (one),
      revision bigint NOT NULL DEFAULT 0,
      generation int NOT NULL DEFAULT 0,
      changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO {s}.own_state DEFAULT VALUES",
    # One row for each base type of a SearchParameter (`rid`). Its entries were written from generation `since` on, before `until`;
    # numbers are never given twice. `served` says that all resources have their entries.
    """
    CREATE TABLE {s}.own_param (
      number smallint PRIMARY KEY,
      rid bigint NOT NULL,
      type smallint NOT NULL,
      name text NOT NULL,
      kind text NOT NULL,
      expression text NOT NULL,
      targets text[] NOT NULL,
      url text NOT NULL,
      since int NOT NULL,
      until int,
      served bool NOT NULL DEFAULT false
    )
    """,
    "CREATE UNIQUE INDEX own_param_name ON {s}.own_param (type, name) WHERE until IS NULL",
    # `agent` is who asked and alone may look; `request` and `body` are sealed; `place` (numbers and types only) is where work that
    # was interrupted goes on. Its queue entry is the job of kind `async` with this id as key.
    """
    CREATE TABLE {s}.async_job (
      id text PRIMARY KEY,
      agent int NOT NULL,
      kind text NOT NULL,
      request bytea NOT NULL,
      state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'cancelled')),
      done bigint NOT NULL DEFAULT 0,
      total bigint,
      place jsonb,
      status int,
      body bytea STORAGE EXTERNAL,
      created_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz
    )
    """,
    "CREATE INDEX async_job_finished ON {s}.async_job (finished_at)",
)
