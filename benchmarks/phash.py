"""How many images a second are hashed, over imagehash's? ``make bench`` prints one line of JSON.

Both hash the same decoded greyscale images as filtering does: 64 bits and 1,024 bits each (`imagehash.phash` with
hash_size 8 and 32). They take turns on each image; CPU time counts. How far the hashes lie apart is counted too: ours
averages blocks of pixels first. `--size WxH` sets the images' size.
"""

import argparse
import json
import sys
import time
from importlib import util

import numpy as np
from PIL import Image

from s1mm_assets.filtering.perceptual_hash import detail_hash, perceptual_hash

N_IMAGES = 60
GOAL = 2.0

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", default="1200x900")
width, height = (int(side) for side in parser.parse_args().size.split("x"))
size = (width, height)

if util.find_spec("imagehash") is None:
    print(json.dumps({"name": "phash", "skipped": "pip install imagehash"}))
    sys.exit(0)

import imagehash  # noqa: E402


def picture(seed: int) -> Image.Image:
    """Some curves and a smooth ground, in grey."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12), dtype=np.uint8))
    pixels = np.array(small.resize(size, Image.Resampling.BICUBIC))
    heights = (rng.random((5, size[0])).cumsum(axis=1) % size[1]).astype(np.int64)
    pixels[heights, np.arange(size[0])] = 0
    return Image.fromarray(pixels)


def bits_of(found: imagehash.ImageHash) -> bytes:
    """The hash as `perceptual_hash` packs it."""
    return np.packbits(found.hash).tobytes()


ours = theirs = 0.0
apart = [0, 0]
for seed in range(N_IMAGES):
    grey = picture(seed)
    start = time.process_time()
    mine = (perceptual_hash(grey).to_bytes(8, "big"), detail_hash(grey))
    middle = time.process_time()
    other = (imagehash.phash(grey), imagehash.phash(grey, hash_size=32))
    end = time.process_time()
    ours, theirs = ours + middle - start, theirs + end - middle
    for which, (one, two) in enumerate(zip(mine, other, strict=True)):
        apart[which] += (int.from_bytes(one, "big") ^ int.from_bytes(bits_of(two), "big")).bit_count()

print(
    json.dumps(
        {
            "name": "phash",
            "headline": round(theirs / ours, 2),
            "goal": GOAL,
            "better": "higher",
            "images_per_s": round(N_IMAGES / ours, 1),
            "imagehash_images_per_s": round(N_IMAGES / theirs, 1),
            "images": N_IMAGES,
            "size_px": list(size),
            "mean_bits_apart_of_64": apart[0] / N_IMAGES,
            "mean_bits_apart_of_1024": apart[1] / N_IMAGES,
            "measured_on": "drawn greyscale images, two hashes each, CPU time",
        }
    )
)
