"""How much one delivered paper may cost, and the exception that ends reading it.

Every byte that comes out of a decompressor is counted here while it comes out, nested archives included: what
an archive declares of itself is never believed.
"""

from dataclasses import dataclass

from s1mm_assets.tables import Rejection

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may be, as delivered and unpacked."""

    max_packed_bytes: int = GIB
    max_unpacked_bytes: int = 2 * GIB
    max_members: int = 20_000  # folders, links and refused members count
    max_ratio: int = 250  # unpacked over packed; asked once more than `ratio_free_bytes` came out
    ratio_free_bytes: int = 64 * MIB  # a small file of zeros is harmless however well it packs
    max_path_bytes: int = 1024


class Refused(Exception):  # noqa: N818 - a verdict about the bytes, not a fault of the program
    """These bytes cannot be read, or not within the limits; carries the row's rejection and evidence."""

    def __init__(self, rejection: Rejection, evidence: str) -> None:
        super().__init__(evidence)
        self.rejection = rejection
        self.evidence = evidence


class Budget:
    """What is left of the limits while one bundle is read."""

    def __init__(self, packed_bytes: int, limits: Limits) -> None:
        """Start with nothing spent; refuse what is too large as delivered."""
        self.limits = limits
        self.packed_bytes = packed_bytes
        self.unpacked_bytes = 0
        self.n_members = 0
        if packed_bytes > limits.max_packed_bytes:
            raise Refused(
                Rejection.TOO_LARGE, f"{packed_bytes} bytes as delivered, limit {limits.max_packed_bytes}"
            )

    def spend(self, n_bytes: int) -> None:
        """Count bytes that came out of a container.

        Raises:
            Refused: too_large, when there are more than the limits allow.
        """
        self.unpacked_bytes += n_bytes
        if self.unpacked_bytes > self.limits.max_unpacked_bytes:
            raise Refused(Rejection.TOO_LARGE, f"more than {self.limits.max_unpacked_bytes} bytes unpacked")
        is_dense = self.unpacked_bytes > max(self.packed_bytes, 1) * self.limits.max_ratio
        if is_dense and self.unpacked_bytes > self.limits.ratio_free_bytes:
            raise Refused(
                Rejection.TOO_LARGE,
                f"unpacks to more than {self.limits.max_ratio} times its {self.packed_bytes} bytes",
            )

    def can_hold(self, n_bytes: int) -> None:
        """Refuse a size that a header declares and that the limits do not allow; nothing is counted.

        Raises:
            Refused: too_large.
        """
        if n_bytes > self.limits.max_unpacked_bytes:
            raise Refused(
                Rejection.TOO_LARGE,
                f"a member of {n_bytes} bytes, limit {self.limits.max_unpacked_bytes} unpacked",
            )

    def count_member(self) -> None:
        """Count one entry of a container, of whatever kind.

        Raises:
            Refused: too_large, when there are too many.
        """
        self.n_members += 1
        if self.n_members > self.limits.max_members:
            raise Refused(Rejection.TOO_LARGE, f"more than {self.limits.max_members} members")
