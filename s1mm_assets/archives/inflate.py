"""Reading gzip forward, in bounded pieces, with its checksums.

igzip inflates; what is added is that every member of a multi-member file is read, that the end is known to be
the end, and that each piece is counted before the next is asked for.
"""

import io

from isal import igzip_lib

from s1mm_assets.archives.limits import MIB, Budget, Refused
from s1mm_assets.tables import Rejection

GZIP_MAGIC = b"\x1f\x8b"
SLICE_BYTES = 256 * 1024  # packed bytes given to the decompressor at a time
PIECE_BYTES = MIB  # unpacked bytes asked of it at a time


class Inflated:
    """A gzip file as a forward-only binary stream."""

    def __init__(self, packed: bytes, budget: Budget) -> None:
        """Read nothing yet."""
        self.trailing_bytes = 0  # after the last member, zero padding aside
        self._packed = memoryview(packed)
        self._at = 0
        self._budget = budget
        self._engine = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._pending = b""  # inflated, not yet read
        self._position = 0

    def tell(self) -> int:
        """Return how many unpacked bytes were read."""
        return self._position

    def peek(self, n_bytes: int) -> bytes:
        """Return the next bytes, fewer only at the end, without moving on."""
        while len(self._pending) < n_bytes:
            piece = self._piece()
            if not piece:
                break
            self._pending += piece
        return self._pending[:n_bytes]

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            Refused: corrupt, truncated or too_large.
        """
        if n_bytes <= len(self._pending):
            out, self._pending = self._pending[:n_bytes], self._pending[n_bytes:]
            self._position += len(out)
            return out
        whole = io.BytesIO()  # getvalue() does not copy, where joining pieces would hold everything twice
        while whole.tell() < n_bytes:
            piece = self._pending or self._piece()
            if not piece:
                break
            taken = piece[: n_bytes - whole.tell()]
            self._pending = piece[len(taken) :]
            whole.write(taken)
        self._position += whole.tell()
        return whole.getvalue()

    def read_all(self) -> bytes:
        """Return everything that is left, with the checksum verified."""
        return self.read(self._budget.limits.max_unpacked_bytes + 1)

    def drain(self) -> None:
        """Read to the end and keep nothing, so that the checksum is verified."""
        while piece := self._pending or self._piece():
            self._pending = b""
            self._position += len(piece)

    def _piece(self) -> bytes:
        """Inflate the next piece; empty at the end of the last member."""
        while not self._engine.eof or self._begin_member():
            packed = b""
            if self._engine.needs_input:
                packed = bytes(self._packed[self._at : self._at + SLICE_BYTES])
                self._at += len(packed)
                if not packed:
                    raise Refused(
                        Rejection.TRUNCATED,
                        f"gzip ends without its trailer after {self._budget.unpacked_bytes} unpacked bytes",
                    )
            try:
                piece: bytes = self._engine.decompress(packed, PIECE_BYTES)
            except igzip_lib.IsalError as error:  # type: ignore[misc] # its stub says a value
                raise Refused(Rejection.CORRUPT, f"gzip: {error}") from None
            if piece:
                self._budget.spend(len(piece))
                return piece
        return b""

    def _begin_member(self) -> bool:
        """Start on the next gzip member, if one follows the member that just ended."""
        self._at -= len(self._engine.unused_data)
        if self._packed[self._at : self._at + 2] != GZIP_MAGIC:
            self.trailing_bytes = len(bytes(self._packed[self._at :]).strip(b"\0"))
            self._at = len(self._packed)
            return False
        self._budget.count_member()  # thousands of empty members would cost time, not bytes
        self._engine = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return True
