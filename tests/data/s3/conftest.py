"""A bucket of photos."""

from tests.s3_bucket import bucket, moto

__all__ = ["bucket", "moto"]
