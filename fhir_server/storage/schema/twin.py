"""What the twin keeps of each local day beside its resources, so that nobody reads minutes twice."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # A page holds the features of a local day, `state` what was made of them and earlier pages; encrypted by the patient's key.
    """
    CREATE TABLE {s}.twin_day (
      patient bigint NOT NULL,
      day date NOT NULL,
      key_id int NOT NULL,
      page bytea NOT NULL,
      state bytea,
      PRIMARY KEY (patient, day)
    )
    """,
    # By which algorithm and on which clock a patient's pages were made, encrypted; another one makes them all anew.
    "CREATE TABLE {s}.twin_book (patient bigint PRIMARY KEY, key_id int NOT NULL, stamp bytea NOT NULL)",
)
