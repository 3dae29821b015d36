"""A bucket on a server that speaks S3."""

from tests.s3_bucket import bucket, moto

__all__ = ["bucket", "moto"]
