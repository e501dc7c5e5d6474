"""What the receiver needs to know, and no more."""

from pydantic import Field

from ingest.settings import StateSettings


class ReceiverSettings(StateSettings):
    host: str = Field("", validation_alias="INGEST_HOST")
    port: int = Field(8000, validation_alias="INGEST_PORT", ge=0, le=65535)
    public_url: str = Field("", validation_alias="INGEST_PUBLIC_URL")

    @property
    def address(self) -> str:
        """The world where callbacks are asked for, else this machine alone."""
        return self.host or ("0.0.0.0" if self.public_url else "127.0.0.1")
