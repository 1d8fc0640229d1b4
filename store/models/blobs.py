"""Contents of files that are kept once."""

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class Blob(Base):
    """A run of bytes that is stored once for all bundles that contain it (`store.blobs.writing`).

    `ends`: where the stored form of each block ends in the file; the last one is the size of the file.
    """

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    file_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    ends: Mapped[list[int]]
    created_at: Mapped[float]


class BlobPiece(Base):
    """A piece of a file of a bundle: bytes `start` to `start + size` of a blob."""

    __tablename__ = "blob_pieces"
    checkpoint_id: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    start: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        ForeignKeyConstraint(["checkpoint_id", "path"], ["checkpoint_files.checkpoint_id", "checkpoint_files.path"]),
    )
