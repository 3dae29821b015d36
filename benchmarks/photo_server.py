"""``python -m benchmarks.photo_server PHOTOS``: small photos on a server that speaks enough of S3, and lies.

Bucket ``photos`` holds PHOTOS objects ``FOLDER/NUMBER.jpg`` of 32 x 32 pixels, which are computed from their numbers.
One in a hundred answers wrongly the first time: with 503, half a body, a length that is one too large, or nothing.
``GET /counts`` tells how many reads succeeded, how many of them were repeated, and when the last one was. Prints
``READY`` and its address.
"""

import asyncio
import hashlib
import io
import json
import sys
import time
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image

SIDE, KINDS, FOLDER = 32, 512, 1000
"""Pixels of a photo's side, number of different photos, and photos of a folder."""
FAULTY = 100
"""One object in so many answers wrongly at first."""
REFUSE, CUT, LONGER, RESET = range(4)
LISTED = "2026-01-01T00:00:00.000Z"


class Objects:
    """Photos by number, how often each was read, and the faults that are left.

    Args:
        count: of photos.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.photos = [_photo(kind) for kind in range(KINDS)]
        self.etags = [hashlib.md5(photo).hexdigest() for photo in self.photos]
        self.reads = np.zeros(count, np.uint8)
        self.failed = np.zeros(count, bool)
        self.last = 0.0

    def number(self, key: str) -> int | None:
        """Number of an object by its key; None where there is none."""
        name = key.rpartition("/")[2].removesuffix(".jpg")
        number = int(name) if name.isdigit() else -1
        return number if 0 <= number < self.count and key == _key(number) else None

    def fault(self, number: int) -> int | None:
        """Fault of this read of an object; None for an honest answer."""
        if number % FAULTY or self.failed[number]:
            return None
        self.failed[number] = True
        return number // FAULTY % 4

    def counts(self) -> dict[str, float]:
        """Successful reads, those of them that were repeated, and the time of the last one."""
        repeated = int((self.reads.astype(int) - 1).clip(0).sum())
        return {"read": int(self.reads.astype(int).sum()), "repeated": repeated, "last": self.last}

    def listing(self, prefix: str, after: str) -> bytes:
        """XML of a folder: its subfolders at the top, up to a thousand objects below."""
        folders = range(-(-self.count // FOLDER))
        if not prefix:
            names = [name for name in (f"{folder:05d}/" for folder in folders) if name > after]
            page = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names[:1000])
            last = names[999] if len(names) > 1000 else ""
        else:
            first = int(prefix.rstrip("/")) * FOLDER
            page = "".join(
                f"<Contents><Key>{_key(i)}</Key><LastModified>{LISTED}</LastModified>"
                f"<ETag>&quot;{self.etags[i % KINDS]}&quot;</ETag><Size>{len(self.photos[i % KINDS])}</Size></Contents>"
                for i in range(first, min(first + FOLDER, self.count))
            )
            last = ""
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>" if last else ""
        return f"<ListBucketResult><Name>photos</Name><Prefix>{prefix}</Prefix>{page}{more}</ListBucketResult>".encode()


def _key(number: int) -> str:
    return f"{number // FOLDER:05d}/{number:08d}.jpg"


def _photo(kind: int) -> bytes:
    pixels = np.random.default_rng(kind).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()


async def answer(objects: Objects, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = urlsplit(head.split(b" ", 2)[1].decode())
            status, etag, body, length = _response(objects, unquote(target.path), parse_qs(target.query))
            if status == 0:
                break
            lines = [f"HTTP/1.1 {status} .", f"Content-Length: {length}"] + ([f'ETag: "{etag}"'] if etag else [])
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            if length != len(body):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _response(objects: Objects, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes, int]:
    """Status, etag, body and stated length; status 0 closes the connection."""
    if path == "/counts":
        body = json.dumps(objects.counts()).encode()
        return 200, "", body, len(body)
    if "list-type" in query:
        # without a delimiter the photos themselves are asked for: those of the first folder are enough
        prefix = query.get("prefix", [""])[0] or ("" if "delimiter" in query else "00000/")
        body = objects.listing(prefix, query.get("continuation-token", [""])[0])
        return 200, "", body, len(body)
    number = objects.number(path.removeprefix("/photos/"))
    if number is None:
        body = b"<Error><Code>NoSuchKey</Code></Error>"
        return 404, "", body, len(body)
    photo, etag, fault = objects.photos[number % KINDS], objects.etags[number % KINDS], objects.fault(number)
    if fault == REFUSE:
        body = b"<Error><Code>SlowDown</Code></Error>"
        return 503, "", body, len(body)
    if fault == RESET:
        return 0, "", b"", 0
    if fault in (CUT, LONGER):
        return 200, etag, photo[: len(photo) // 2] if fault == CUT else photo, len(photo) + (fault == LONGER)
    objects.reads[number] = min(255, int(objects.reads[number]) + 1)
    objects.last = time.time()
    return 200, etag, photo, len(photo)


async def main(count: int) -> None:
    """Serve until stdin ends."""
    objects = Objects(count)
    server = await asyncio.start_server(lambda r, w: answer(objects, r, w), "127.0.0.1", 0)
    print(f"READY http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
