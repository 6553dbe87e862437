"""A few ids that stand for a whole family of environments in fast tests."""

MINIGRID = {f"minigrid/{name}-v0" for name in ("DoorKey-5x5", "Dynamic-Obstacles-5x5", "PutNear-6x6-N2")}
"""Ids that stand for all of MiniGrid in fast tests: one that hides, one that moves by chance, one with a mission."""
POPGYM = {
    f"popgym/{name}Easy" for name in ("RepeatPrevious", "Concentration", "MultiarmedBandit", "PositionOnlyPendulum")
}
"""Ids that stand for all of POPGym in fast tests: a deck, a table, one that renews resets, one of control."""
