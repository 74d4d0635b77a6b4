"""Object storage: objects below a URL at S3, Google Cloud Storage, Azure or a compatible server.

`obstore` makes the requests, and finds credentials, region and endpoint as each provider documents
(`AWS_*`, `GOOGLE_*`, `AZURE_*`; instance metadata; web identity). It repeats what a server answers
with 429 or 5xx, and connections that break. No torch.
"""

from jukebox_core.buckets.bucket import Bucket, StoredObject
from jukebox_core.buckets.errors import ObjectChanged
from jukebox_core.buckets.place import OF_BUCKETS, BucketUrl, Place, read_place

__all__ = [
    "OF_BUCKETS",
    "Bucket",
    "BucketUrl",
    "ObjectChanged",
    "Place",
    "StoredObject",
    "read_place",
]
