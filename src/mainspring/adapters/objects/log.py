"""The prediction log in an object store: one object a batch and hour, in the bytes of a local segment.

`log/2013/05/01/06/<writer>-000000000064.log`: the number is that of the first chunk, so a batch that is tried again
lands on the same object and nothing is doubled. Put together in the order of their names, the objects of one hour and
writer are a segment.
"""

from collections.abc import Sequence
from itertools import groupby

from mainspring.adapters.objects.bucket import Bucket
from mainspring.kernel.times import from_us
from mainspring.serve.ports import Chunk

PREFIX = "log"


class ObjectLog:
    """Puts batches below `log/`. writer: a name that no other process has, now or ever."""

    def __init__(self, bucket: Bucket, writer: str) -> None:
        self._bucket, self._writer = bucket, writer

    def write(self, chunks: Sequence[Chunk], /) -> None:
        """Put one object for each hour of the batch."""
        for hour, group in groupby(chunks, key=lambda chunk: chunk.hour):
            batch = list(group)
            name = f"{PREFIX}/{from_us(hour):%Y/%m/%d/%H}/{self._writer}-{batch[0].number:012d}.log"
            self._bucket.put(name, b"".join([chunk.frame for chunk in batch]))

    def sync(self) -> None:
        """Nothing is left to do: a put returns when the object is durable."""

    def close(self) -> None:
        """Nothing is held."""
