"""The bitmap of the hard maze, and look-up tables that make its physics exact and fast.

The original simulator (libfastsim) works on pixels: which pixels a disc covers, and which pixel a laser ray hits first.
Both depend only on the robot's pixel (and, for a laser, on the pixel where its line ends). They are therefore
tabulated here once, on the host, so that a step needs only a few look-ups.

Units: 1 px = 3 world units, x to the right, y DOWN. Shapes: L lines (distinct end pixels of a laser).
Source: alexendy/libfastsim, src/ (map, robot, laser), and GPaolo/SERENE,
environments/assets/gym_fastsim/assets/maze_hard.pbm. The walls are seven segments fitted to that bitmap: 78 of its
40,000 pixels differ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SIZE = 200
"""Width and height of the map (px)."""
UNIT = 3.0
"""World units per pixel."""
RANGE = 100.0
"""Range of a laser (world units)."""
RADIUS = 3
"""Radius of the robot (px): round(10 / 3)."""
BORDER = 3
"""Thickness of the outer wall (px)."""
WALLS = (
    (58.0, 46.5, 58.0, 152.5, 2.5),
    (1.1, 44.3, 60.2, 48.8, 3.0),
    (56.4, 48.7, 132.1, 25.8, 2.7),
    (2.2, 73.0, 35.4, 115.6, 2.7),
    (58.2, 101.6, 153.7, 154.9, 2.3),
    (86.0, 85.5, 204.2, 147.2, 2.2),
    (107.4, 157.2, 72.9, 197.3, 2.4),
)
"""Thick segments (px): x1, y1, x2, y2, half-width."""
BEARINGS = (
    (1, 0), (2, 1), (1, 1), (1, 2), (0, 1), (-1, 2), (-1, 1), (-2, 1),
    (-1, 0), (-2, -1), (-1, -1), (-1, -2), (0, -1), (1, -2), (1, -1), (2, -1),
)  # fmt: skip
"""The 16 directions in which a pixel of the robot's disc can lie from its centre."""


def bitmap() -> np.ndarray:
    """Return the obstacles, bool [SIZE, SIZE] indexed [y, x]."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    inside = (np.minimum(x, y) >= BORDER) & (np.maximum(x, y) < SIZE - BORDER)
    wall = ~inside
    for x1, y1, x2, y2, half in WALLS:
        dx, dy = x2 - x1, y2 - y1
        along = np.clip(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy), 0, 1)
        wall |= np.hypot(x - x1 - along * dx, y - y1 - along * dy) <= half
    return wall


def contacts(wall: np.ndarray) -> np.ndarray:
    """Tabulate the contacts of a robot centred on each pixel.

    Args:
        wall: Bool [SIZE, SIZE], the obstacles.

    Returns:
        Int32 [SIZE, SIZE]: bit k is set if the robot touches an obstacle in direction BEARINGS[k], bit 16 if its centre
        is on one. Zero means no contact.
    """
    padded = np.pad(wall, RADIUS, constant_values=True)
    table = np.zeros((SIZE, SIZE), np.int32)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            if dx * dx + dy * dy > RADIUS * RADIUS:
                continue
            bit = 16
            if dx or dy:
                step = math.gcd(dx, dy)
                bit = BEARINGS.index((dx // step, dy // step))
            there = padded[RADIUS + dy : RADIUS + dy + SIZE, RADIUS + dx : RADIUS + dx + SIZE]
            table |= there.astype(np.int32) << bit
    return table


def line(ex: int, ey: int) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Return the pixels of the supercover line from (0, 0) to (ex, ey), without the first.

    Besides the pixels of Bresenham's line (main pixels), a supercover line contains those that the ideal line only
    passes through (side pixels), both of them at an exact corner. A hit on a side pixel counts as a hit on its main
    pixel.

    Returns:
        A list of (main pixel, its side pixels); a pixel is (x, y).
    """
    steep = abs(ey) >= abs(ex)
    long, short = (abs(ey), abs(ex)) if steep else (abs(ex), abs(ey))
    sx, sy = (1 if ex >= 0 else -1), (1 if ey >= 0 else -1)

    def pixel(p: int, q: int) -> tuple[int, int]:
        return (q * sx, p * sy) if steep else (p * sx, q * sy)

    pixels, q, error = [], 0, long
    for p in range(1, long + 1):
        before, error = error, error + 2 * short
        side = []
        if error > 2 * long:
            q, error = q + 1, error - 2 * long
            if error + before <= 2 * long:
                side.append(pixel(p, q - 1))
            if error + before >= 2 * long:
                side.append(pixel(p - 1, q))
        pixels.append((pixel(p, q), side))
    return pixels


class Lasers(NamedTuple):
    """Look-up tables of the lasers; `laser_tables` describes the arrays."""

    line: np.ndarray
    hit: np.ndarray
    path: np.ndarray


REACH = math.ceil(RANGE / UNIT) + 1
"""Largest distance of a line's end from the robot's pixel along an axis (px)."""


def laser_tables(wall: np.ndarray) -> Lasers:
    """Tabulate where every laser line from every pixel hits an obstacle.

    Args:
        wall: Bool [SIZE, SIZE], the obstacles.

    Returns:
        Three arrays:
        line, int32 [(2 REACH + 1)^2]: the number of the line that ends at an offset (row by row, from -REACH);
        hit, uint8 [SIZE * SIZE * L]: the step at which a line first meets an obstacle, its length + 1 if it never does;
        path, int8 [L * (REACH + 3), 2]: the offset (x, y) of a line's pixel at each step, 127 after its end.
    """
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    # each end of a line is rounded by up to half a pixel per coordinate
    ring = np.abs(np.hypot(x, y) - RANGE / UNIT) <= math.sqrt(2.0) + 1e-3
    ends = np.stack([x[ring], y[ring]], axis=1)
    number = np.zeros(x.shape, np.int32)
    number[ring] = np.arange(len(ends))
    margin, never = REACH + 1, 255
    padded = np.pad(wall, margin, constant_values=True)
    at_step = [np.where(padded, step, never).astype(np.uint8) for step in range(REACH + 2)]
    hit = np.full((len(ends), SIZE, SIZE), never, np.uint8)
    path = np.full((len(ends), REACH + 3, 2), 127, np.int8)
    for k, (ex, ey) in enumerate(ends.tolist()):
        pixels = line(ex, ey)
        for step, (main, sides) in enumerate(pixels, 1):
            for dx, dy in (main, *sides):  # keep the first step at which an obstacle is hit
                shifted = at_step[step][margin + dy : margin + dy + SIZE, margin + dx : margin + dx + SIZE]
                np.minimum(hit[k], shifted, out=hit[k])
            path[k, step] = main
        hit[k][hit[k] == never] = len(pixels) + 1
    by_pixel = np.ascontiguousarray(hit.reshape(len(ends), -1).T)
    return Lasers(number.reshape(-1), by_pixel.reshape(-1), path.reshape(-1, 2))
