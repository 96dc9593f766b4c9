"""Events of the outbox whose consequences fail whenever they are tried: run by migration 0012."""

from __future__ import annotations

STATEMENTS = (
    # One consequence of one event, with all that an event says. `error` is the class of what was raised, never its text; `again`
    # says that an administrator wants it tried once more.
    """
    CREATE TABLE {s}.outbox_aside (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      event bigint NOT NULL,
      rid bigint NOT NULL,
      version int NOT NULL,
      type smallint NOT NULL,
      method smallint NOT NULL,
      origin smallint NOT NULL,
      patients bigint[],
      consequence text NOT NULL,
      error text NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      again bool NOT NULL DEFAULT false,
      UNIQUE (event, consequence)
    )
    """,
)

UNDO = ("DROP TABLE {s}.outbox_aside",)
