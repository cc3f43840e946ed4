"""The tables of the history, as `migrations/` makes them."""

from __future__ import annotations

from sqlalchemy import Float, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class Answer(Base):
    """An answer that was given. Times are UTC in ISO 8601, which sorts and is the same in every database.

    `model` and `sha256` are those of the bundle and of the picture's bytes; `label` is empty where `error`
    says why; `correction` is what a person said that it is.
    """

    __tablename__ = "answers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[str] = mapped_column(String(27), index=True)
    model: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float] = mapped_column(Float(53))
    decision: Mapped[str] = mapped_column(String(10))
    distance: Mapped[float | None] = mapped_column(Float(53))
    error: Mapped[str] = mapped_column(Text)
    correction: Mapped[str | None] = mapped_column(Text, index=True)
    corrected_at: Mapped[str | None] = mapped_column(String(27))


class Picture(Base):
    """A picture that was kept, as PNG: its pixels and nothing that the file said beside them."""

    __tablename__ = "pictures"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[str] = mapped_column(String(27))
    content: Mapped[bytes] = mapped_column(LargeBinary)
