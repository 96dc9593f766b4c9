"""Resources, their history and what they are found by."""

from __future__ import annotations

CODING: tuple[str, ...] = (
    # Every coding that was ever written, by the parameter that finds it: `by_code` and `by_system` are the keys that say less.
    """
    CREATE TABLE {s}.coding (
      key bigint PRIMARY KEY, by_code bigint NOT NULL, by_system bigint NOT NULL, param smallint NOT NULL,
      system text, code text, display text
    )
    """,
    "CREATE INDEX coding_code ON {s}.coding (by_code) INCLUDE (key) WHERE by_code <> 0",
    "CREATE INDEX coding_system ON {s}.coding (by_system) INCLUDE (key) WHERE by_system <> 0",
    # By which form of extraction all resources are indexed, and up to which rid by the next one (`storage/reindex.py`).
    "CREATE TABLE {s}.index_state (version smallint NOT NULL, done bigint NOT NULL)",
    "INSERT INTO {s}.index_state VALUES (1, 0)",
)

SERIES: tuple[str, ...] = (
    # Every Observation under each of its codes: one patient's by time (the reads that matter most), everybody's by time and by the
    # last change. `patient` is 0 where the subject is no one Patient.
    """
    CREATE TABLE {s}.series (
      patient bigint NOT NULL, code bigint NOT NULL, at timestamptz NOT NULL, last_updated timestamptz NOT NULL, rid bigint NOT NULL
    )
    """,
    "CREATE INDEX series_patient ON {s}.series (patient, code, at, rid)",
    "CREATE INDEX series_at ON {s}.series (code, at, rid)",
    "CREATE INDEX series_updated ON {s}.series (code, last_updated, rid)",
    # The order of a search that asks for none.
    "CREATE INDEX resource_type ON {s}.resource (type, rid) WHERE version > 0 AND NOT deleted",
)

TALLY: tuple[str, ...] = (
    # How many resources hold a coding: the sum of what is folded and what was added since (`storage/tally.py`).
    "CREATE TABLE {s}.tally (type smallint, key bigint, n bigint NOT NULL, PRIMARY KEY (type, key)) WITH (fillfactor = 70)",
    """
    CREATE TABLE {s}.tally_new (key bigint NOT NULL, n bigint NOT NULL, type smallint NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
    """,
)

LAYOUT: tuple[str, ...] = (
    # Which blends hold a facet, and of how many of a row's keys (the first ones) the index knows nothing (`storage/layout.py`).
    "CREATE TABLE {s}.facet (key bigint, blend bigint, PRIMARY KEY (key, blend))",
    "ALTER TABLE {s}.resource ADD COLUMN unsought int NOT NULL DEFAULT 0",
    "DROP INDEX {s}.resource_keys",
    """
    CREATE INDEX resource_keys ON {s}.resource USING gin ((keys[unsought + 1:]))
    WITH (fastupdate = on, gin_pending_list_limit = 1024)
    """,
    "ALTER INDEX {s}.resource_keys ALTER COLUMN 1 SET STATISTICS 1000",
)

STATEMENTS: tuple[str, ...] = (
    # One process takes 64 numbers at a time, so that a create knows its rid before it speaks to the database.
    "CREATE SEQUENCE {s}.rid INCREMENT BY 64",
    # version 0 is a phantom: so far only mentioned by a reference. Bodies are compressed and encrypted: TOAST must not try again.
    """
    CREATE TABLE {s}.resource (
      rid bigint PRIMARY KEY,
      last_updated timestamptz NOT NULL,
      type smallint NOT NULL,
      method smallint NOT NULL,
      version int NOT NULL,
      key_id int NOT NULL,
      index_version smallint NOT NULL,
      deleted bool NOT NULL,
      fhir_id text COLLATE "C" NOT NULL,
      patients bigint[],
      keys bigint[],
      body bytea STORAGE EXTERNAL
    ) WITH (fillfactor = 95, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)
    """,
    "CREATE UNIQUE INDEX resource_identity ON {s}.resource (type, fhir_id)",
    "CREATE INDEX resource_updated ON {s}.resource (type, last_updated, rid)",
    "CREATE INDEX resource_keys ON {s}.resource USING gin (keys) WITH (fastupdate = on, gin_pending_list_limit = 1024)",
    "ALTER TABLE {s}.resource ALTER COLUMN keys SET STATISTICS 1000",
    """
    CREATE TABLE {s}.history (
      rid bigint NOT NULL,
      last_updated timestamptz NOT NULL,
      type smallint NOT NULL,
      method smallint NOT NULL,
      version int NOT NULL,
      key_id int NOT NULL,
      index_version smallint NOT NULL,
      deleted bool NOT NULL,
      patients bigint[],
      keys bigint[],
      body bytea STORAGE EXTERNAL,
      PRIMARY KEY (rid, version)
    )
    """,
    "CREATE INDEX history_updated ON {s}.history (type, last_updated, rid)",
    "CREATE TABLE {s}.ix_date (rid bigint NOT NULL, lo timestamptz NOT NULL, hi timestamptz NOT NULL, param smallint NOT NULL)",
    "CREATE INDEX ix_date_lo ON {s}.ix_date (param, lo, rid) INCLUDE (hi)",
    # Only what is longer than a day needs a search by its end: for the rest the start is near enough to bound it.
    "CREATE INDEX ix_date_long ON {s}.ix_date (param, hi, rid) WHERE hi - lo > interval '1 day'",
    # A search that keeps the order of rid, or knows its resources by other parameters, looks each of them up here: joined in the
    # order of rid, `date=ge2025&_count=20` over 200,000 rows takes 1 ms instead of 60.
    "CREATE INDEX ix_date_rid ON {s}.ix_date (rid, param)",
    """
    CREATE TABLE {s}.ix_number (
      rid bigint NOT NULL, key bigint NOT NULL, unit bigint NOT NULL, cunit bigint NOT NULL, param smallint NOT NULL,
      lo numeric NOT NULL, hi numeric NOT NULL, clo numeric, chi numeric
    )
    """,
    "CREATE INDEX ix_number_value ON {s}.ix_number (param, key, lo, rid)",
    "CREATE INDEX ix_number_canonical ON {s}.ix_number (param, key, cunit, clo, rid) WHERE cunit <> 0",
    "CREATE INDEX ix_number_range ON {s}.ix_number (param, key, hi, rid) WHERE hi > lo",
    "CREATE INDEX ix_number_rid ON {s}.ix_number (rid, param)",
    'CREATE TABLE {s}.ix_string (rid bigint NOT NULL, param smallint NOT NULL, value text COLLATE "C" NOT NULL)',
    "CREATE INDEX ix_string_value ON {s}.ix_string (param, value, rid)",
    "CREATE INDEX ix_string_rid ON {s}.ix_string (rid, param)",
    # The reads that matter most: one patient's Observations of one code by time.
    """
    CREATE TABLE {s}.series (
      patient bigint NOT NULL, code bigint NOT NULL, at timestamptz NOT NULL, rid bigint NOT NULL,
      PRIMARY KEY (patient, code, at, rid)
    )
    """,
    "CREATE TABLE {s}.claim (key bytea PRIMARY KEY, rid bigint NOT NULL)",
    "CREATE INDEX claim_rid ON {s}.claim (rid)",
    "CREATE TABLE {s}.patient_key (patient bigint PRIMARY KEY, key_id int NOT NULL)",
)
