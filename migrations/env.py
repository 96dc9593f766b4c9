"""Alembic's entry: runs the versions inside the schema of a tenant, given as an attribute by `storage/migrate.py`."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Migrate the schema of `config.attributes` over the connection given there."""
    connection = context.config.attributes["connection"]
    schema = context.config.attributes["schema"]
    context.configure(connection=connection, version_table_schema=schema, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


run()
