"""A program that lands the bucket of an imitation into a folder, to be killed: BASE ROOT."""

import sys

from s1mm_assets_tests.resources.publishers.bucket_publisher import acquisition


class Elsewhere:
    """An imitation that runs in another process."""

    base = sys.argv[1]


if __name__ == "__main__":
    acquisition(Elsewhere(), sys.argv[2], report=print).run()  # type: ignore[arg-type]
