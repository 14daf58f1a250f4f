"""How much of a picture a machine-readable code covers: QR codes and bar codes, by their own construction.

Finder patterns, guards and module counts are checked, not decoded. Sparsity patterns, stick spectra and the hits of an
enrichment test look like codes and are none: they do not add up. Not seen: turned codes, Data Matrix, Aztec, PDF417.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.filtering.table_look import runs_of

ANALYSED_SIDE_PX = 1000
DARK = 128
MAX_MID_TONES = 0.25  # share of greys between 64 and 192: codes are black on white, but for blurred edges
MIN_DARK, MAX_DARK = 0.05, 0.75  # share of the picture, quiet zone included
MAX_RAGGED = 0.06  # share of pixels that differ from their column's, in bars
MIN_FINDER_MATCH = 46  # of 49 modules
QR_MODULES = (21, 177)
EAN_MODULES = {59: 95, 43: 67}
"""Runs → modules: EAN-13 and UPC-A, EAN-8. Source: ISO/IEC 15420."""

FINDER = np.pad(np.pad(np.ones((3, 3), dtype=np.bool_), 1), 1, constant_values=True)
"""Seven modules a side: a ring, and a block of three by three. Source: ISO/IEC 18004."""

Bits: TypeAlias = NDArray[np.bool_]


def code_share(grey: Image.Image) -> float:
    """Return the share of the content's box that a machine code takes: 0 without one, 1 where it is all there is.

    Args:
        grey: The picture, mode "L", dark on light.
    """
    tones = np.array(grey.histogram()) / (grey.width * grey.height)
    if tones[64:192].sum() > MAX_MID_TONES or not MIN_DARK <= tones[:DARK].sum() <= MAX_DARK:
        return 0.0
    longer = max(grey.size)
    if longer > ANALYSED_SIDE_PX:
        size = [max(1, round(side * ANALYSED_SIDE_PX / longer)) for side in grey.size]
        grey = grey.resize((size[0], size[1]), Image.Resampling.BOX)
    ink = np.asarray(grey) < DARK
    if not ink.any():
        return 0.0
    content = _cropped(ink)
    block = _cropped(_largest_band(content))
    if not (is_qr_code(block) or is_bar_code(block)):
        return 0.0
    return round(block.size / content.size, 4)


def _cropped(ink: Bits) -> Bits:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _largest_band(content: Bits) -> Bits:
    """The tallest stretch of rows that all hold ink: a code without the words above or below it."""
    band = max(runs_of(content.any(axis=1)), key=lambda run: run.length)
    return content[band.start : band.stop]


def is_qr_code(block: Bits) -> bool:
    """Whether a block of ink is square and has finder patterns in three of its corners."""
    height, width = block.shape
    if not 0.95 <= height / width <= 1.05 or width < QR_MODULES[0]:
        return False
    edge = runs_of(block[height // (2 * QR_MODULES[1])])
    module = edge[0].length / 7 if edge and edge[0].start == 0 else 0.0
    if module == 0 or not QR_MODULES[0] * 0.9 <= width / module <= QR_MODULES[1] * 1.1:
        return False
    turned = (block, block[:, ::-1], block[::-1])  # each brings one corner to the top left
    return all(_finder_match(corner, module) >= MIN_FINDER_MATCH for corner in turned)


def _finder_match(block: Bits, module: float) -> int:
    """How many of the modules in the top left corner are as in a finder pattern, of 49."""
    at = ((np.arange(7) + 0.5) * module).astype(np.int64)
    return int((block[np.ix_(at, at)] == FINDER).sum())


def is_bar_code(block: Bits) -> bool:
    """Whether a block of ink is bars whose widths add up to those of EAN, UPC, Code 128 or Code 39."""
    height, width = block.shape
    middle = block[height // 4 : height - height // 4]  # guard bars reach down between the digits
    if not middle.size or width < 60:
        return False
    row = middle.mean(axis=0) > 0.5
    if (middle != row).mean() > MAX_RAGGED:
        return False
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    widths = np.diff(edges).astype(np.float64)
    return _is_ean(widths) or _is_code_128(widths) or _is_code_39(widths)


def _is_ean(widths: NDArray[np.float64]) -> bool:
    """Guards of single modules at both ends and in the middle, digits of seven modules between them."""
    n_modules = EAN_MODULES.get(len(widths))
    if n_modules is None:
        return False
    modules = widths / (widths.sum() / n_modules)
    half = (len(widths) - 5) // 2
    digits = np.concatenate([modules[3:half], modules[half + 5 : -3]]).reshape(-1, 4).sum(axis=1)
    guards = np.concatenate([modules[:3], modules[half : half + 5], modules[-3:]])
    return bool(abs(digits - 7).max() <= 0.7 and abs(guards - 1).max() <= 0.6)


def _is_code_128(widths: NDArray[np.float64]) -> bool:
    """Symbols of three bars and three spaces on eleven modules, and a stop of thirteen. Source: ISO/IEC 15417."""
    n_symbols, rest = divmod(len(widths) - 7, 6)
    if rest or n_symbols < 3:
        return False
    modules = widths / (widths.sum() / (11 * n_symbols + 13))
    symbols = modules[:-7].reshape(-1, 6)
    is_whole = abs(modules - np.rint(modules)).max() <= 0.45
    return bool(abs(symbols.sum(axis=1) - 11).max() <= 0.7 and is_whole and modules.max() <= 4.5)


def _is_code_39(widths: NDArray[np.float64]) -> bool:
    """Symbols of nine elements, three of them wide, parted by narrow spaces. Source: ISO/IEC 16388."""
    n_symbols, rest = divmod(len(widths) + 1, 10)
    if rest or n_symbols < 3:
        return False
    is_wide = widths > 1.6 * np.median(widths)
    symbols = np.append(is_wide, False).reshape(-1, 10)
    spread = max(widths[is_wide].std(), widths[~is_wide].std()) if is_wide.any() else np.inf
    return bool(
        (symbols.sum(axis=1) == 3).all() and not symbols[:, 9].any() and spread < 0.3 * np.median(widths)
    )
