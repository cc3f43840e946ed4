"""Alembic's entry: brings the database of a connection to the newest tables."""

from alembic import context

from headstart.serving.tables import Base

if hasattr(context, "config"):  # else Alembic isn't running it
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        transactional_ddl=True,  # SQLite can, too: what is killed half-way didn't happen
    )
    with context.begin_transaction():
        context.run_migrations()
