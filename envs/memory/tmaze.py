"""T-Maze: a cue at the start of a corridor tells which way to turn at its end.

Source: the T-Maze of ELMUR and RATE, after twni2016/Memory-RL, with the constants of the published code.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static

RIGHT, UP, LEFT, DOWN = range(4)
COLUMNS, CELL = 33, 8
"""Width of a picture in cells, and of a cell in pixels."""
WALL, FLOOR, AGENT, GOAL, TRAP = (48, 48, 56), (232, 232, 224), (40, 96, 216), (56, 168, 72), (208, 72, 64)


@struct.dataclass
class TMazeState:
    """The state of an episode."""

    x: Array
    """[] int32 position along the corridor, from 0 to `corridor`."""
    y: Array
    """[] int32 position across the corridor: -1, 0 or 1; not 0 in a goal."""
    time: Array
    """[] int32 steps taken so far."""
    corridor: Array
    """[] int32 position x of the junction."""
    cues: Array
    """[cues] int32 values of the cues, each -1 or 1."""


@struct.dataclass
class TMaze(Env):
    """Walk along a corridor and turn, at the junction, to the side that a cue at the start has shown.

    The corridor extends from x = 0 to the junction at x = `length` - 2; the goals are above and below the junction.
    Observation [4 + distractors]: 0, y (-1, 0 or 1); 1, the cue (-1 or 1; 0 if none is shown); 2, whether this is the
    junction; from 3 on, noise: numbers drawn from {-1, 0, 1}. x is not observed. Actions: 0 right, 1 up, 2 left,
    3 down; a move into a wall has no effect. Entering a goal terminates the episode and pays 1 if it is on the cue's
    side (up for 1), else 0. The episode is truncated after `length` steps. Success: return 1. The optimal return is 1,
    after `length` - 1 steps; without memory the best mean return is 0.5.
    """

    length: int = static(30, least=3, most=1_000_000)
    """Maximum length of an episode in steps, from 3 to 1,000,000."""
    shortest: int | None = static(None, least=1)
    """If given, the junction's position is drawn uniformly from this to `length` - 2 at every reset."""
    cue_steps: int = static(1, least=1)
    """Number of steps for which a cue is shown."""
    delay: int = static(0, least=0)
    """Number of steps before the first cue."""
    cues: Literal[1, 2] = static(1)
    """Number of cues (1 or 2), drawn independently."""
    gap: int = static(1, least=0)
    """Number of steps between the end of the first cue and the second."""
    decides: Literal["first", "last", "product"] = static("first")
    """Which of two cues decides the side: first, last, or their product (up if they agree)."""
    distractors: int = static(0, least=0)
    """Number of additional noise components in the observation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortest is not None and self.shortest > self.length - 2:
            raise ValueError(f"shortest must be at most length - 2 = {self.length - 2}, not {self.shortest}")
        last, junction = self._shown(self.cues - 1), self.shortest or self.length - 2
        if last > junction:
            raise ValueError(f"the last cue would come at step {last}, but the junction may be reached at {junction}")

    def _shown(self, number: int) -> int:
        """Return the first step at which a cue is shown."""
        return self.delay + number * (self.cue_steps + self.gap)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(
            id="memory/tmaze", obs=Box((4 + self.distractors,), -1.0, 1.0), action=Discrete(4), horizon=self.length,
            info=("success", "state_id"),
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[TMazeState, Array]:
        """Draw the cues and, if it varies, the position of the junction."""
        return self.reset_side(jnp.int32(0), key)

    def reset_side(self, side: Array, key: Key) -> tuple[TMazeState, Array]:
        """Do as `reset`, with the paying goal on a given `side` [] (-1 or 1); 0 draws the side."""
        k_cues, k_corridor, k_noise = jax.random.split(key, 3)
        cues = jnp.where(jax.random.bernoulli(k_cues, shape=(self.cues,)), 1, -1).astype(jnp.int32)
        cues = jnp.where((side == 0) | (self.goal(cues) == side), cues, self._turned(cues))
        corridor = jnp.int32(self.length - 2)
        if self.shortest is not None:
            corridor = jax.random.randint(k_corridor, (), self.shortest, self.length - 1, jnp.int32)
        zero = jnp.int32(0)
        state = TMazeState(zero, zero, zero, corridor, cues)
        return state, self.observe(state, k_noise)

    def goal(self, cues: Array) -> Array:
        """Return the side [] that pays, -1 or 1."""
        return {"first": cues[0], "last": cues[-1], "product": jnp.prod(cues)}[self.decides]

    def _turned(self, cues: Array) -> Array:
        """Return the cues with the deciding one negated (the first one if both decide)."""
        return cues.at[-1 if self.decides == "last" else 0].multiply(-1)

    def step(self, state: TMazeState, action: Array, key: Key) -> tuple[TMazeState, Step]:
        """Move; up and down are possible only at the junction."""
        along = (action == RIGHT).astype(jnp.int32) - (action == LEFT)
        across = (action == UP).astype(jnp.int32) - (action == DOWN)
        y = jnp.where(state.x == state.corridor, across, 0)
        x = jnp.clip(state.x + along, 0, state.corridor)
        state = TMazeState(x, y, state.time + 1, state.corridor, state.cues)
        terminated = y != 0
        success = terminated & (y == self.goal(state.cues))
        truncated = (state.time >= self.length) & ~terminated
        info = {"success": success, "state_id": (3 * x + y + 1).astype(jnp.uint32)}
        step = Step(self.observe(state, key), success.astype(jnp.float32), terminated, truncated, info)
        return state, step

    def observe(self, state: TMazeState, key: Key) -> Array:
        """Return the observation [4 + distractors] of a state; `key` draws the noise."""
        hint = jnp.int32(0)
        for i in range(self.cues):
            begun = self._shown(i)
            hint = jnp.where((state.time >= begun) & (state.time < begun + self.cue_steps), state.cues[i], hint)
        words = jax.random.key_data(key)  # the key is used once for few bits: its own words serve, which saves a draw
        words = jax.random.bits(key, (1 + self.distractors,)) if self.distractors > 1 else words[: 1 + self.distractors]
        noise = (words % 3).astype(jnp.int32) - 1
        seen = jnp.stack([state.y, hint, (state.x == state.corridor).astype(jnp.int32)])
        return jnp.concatenate([seen, noise]).astype(jnp.float32)

    def frame(self, state: TMazeState) -> Array:
        """Draw the maze, uint8 [40, 280, 3]; a corridor longer than 33 cells is drawn compressed."""
        columns = jnp.minimum(state.corridor + 1, COLUMNS)
        across, down = np.arange(COLUMNS + 2) - 1, 1 - np.arange(-1, 4)[:, None]
        place = state.x * (columns - 1) // state.corridor
        junction = across == columns - 1
        arm = junction & (np.abs(down) == 1)
        floor = ((down == 0) & (across >= 0) & (across < columns)) | arm
        pays = down == self.goal(state.cues)
        colours = jnp.asarray([WALL, FLOOR, TRAP, GOAL, AGENT], jnp.uint8)
        cells = floor.astype(jnp.int32) + arm + (arm & pays)
        cells = jnp.where((across == place) & (down == state.y), 4, cells)
        return jnp.repeat(jnp.repeat(colours[cells], CELL, axis=0), CELL, axis=1)
