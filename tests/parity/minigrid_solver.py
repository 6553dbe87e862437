"""A scripted player that solves every family of Farama's MiniGrid; it looks at the whole grid, not at the observation.

`solve(env)` is a generator of actions that reads the live environment between them: the caller steps it. Every
family comes down to walking somewhere; whatever stands in the way (closed and locked doors, keys in boxes, balls
before doors, full hands) is dealt with when it is met, and the walk is planned again.
"""

import heapq
import itertools

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
MOVABLE = ("key", "ball", "box")


class StuckError(Exception):
    """There is no way (some levels of the v0 obstructed mazes have lost a key)."""


def solve(env):
    """The actions that solve `env`, a MiniGrid environment that was reset; none where there is no task."""
    env, kind = env.unwrapped, type(env.unwrapped).__name__
    if kind == "PlaygroundEnv":
        return
    if kind == "DynamicObstaclesEnv":
        yield from dodge(env)
    elif kind == "MemoryEnv":
        yield from walk(env, at([env.success_pos]))
    elif kind.startswith("GoTo"):
        yield from walk(env, at([ahead(*env.target_pos, d) for d in range(4)]))
        yield DONE
    elif kind == "PutNearEnv":
        yield from get(env, lambda o: (o.type, o.color) == (env.move_type, env.moveColor), move=False)
        near = [p for p in cells(env) if chebyshev(p, env.target_pos) <= 1 and env.grid.get(*p) is None]
        yield from walk(env, facing(near), move=False)
        yield DROP
    elif kind == "FetchEnv":
        yield from get(env, lambda o: (o.type, o.color) == (env.targetType, env.targetColor), move=False)
    elif kind == "RedBlueDoorEnv":
        yield from unlock(env, env.red_door)
        yield from unlock(env, env.blue_door)
    elif kind == "UnlockEnv":
        yield from unlock(env, env.door)
    elif hasattr(env, "obj"):
        yield from get(env, lambda o: o is env.obj)
    else:
        yield from walk(env, at(goals(env)))


# --- what the tasks are made of ----------------------------------------------------------------------


def walk(env, reached, move=True):
    """Go on until `reached((x, y, direction))`, out of whose way doors and (where `move`) objects are taken."""
    while True:
        path = route(env, reached, move)
        for action, cell in path:
            if action == FORWARD and price(env, cell, move) > 1:
                yield from clear(env, cell, reached)
                break
            yield action
        else:
            return


def clear(env, cell, reached):
    """Open the door ahead, or take the object ahead out of the way."""
    there, held = env.grid.get(*cell), env.carrying
    if there.type != "door":
        if held is not None:
            yield from put_down(env, reached)
            yield from get(env, lambda o: o is there)
            yield from put_down(env, reached)
            yield from get(env, lambda o: o is held)
        else:
            yield PICKUP
            yield from put_down(env, reached)
    elif there.is_locked and not opens(held, there):
        yield from get(env, lambda o: opens(o, there))
    else:
        yield TOGGLE


def get(env, wanted, move=True):
    """Pick up an object of which `wanted(object)` holds, on the floor or in a box."""
    while env.carrying is None or not wanted(env.carrying):
        places = [p for p, _ in objects(env, wanted)]
        if not places:
            raise StuckError("the object is nowhere")
        yield from walk(env, facing(places), move=move)
        if not wanted(env.grid.get(*env.front_pos)):
            yield TOGGLE  # it is in this box
        elif env.carrying is None:
            yield PICKUP
        else:
            yield from put_down(env, facing(places))


def unlock(env, door):
    """Open a door that is closed."""
    yield from walk(env, facing([p for p in cells(env) if env.grid.get(*p) is door]))
    yield from clear(env, tuple(env.front_pos), None)
    if not door.is_open:  # that was the way to its key
        yield from unlock(env, door)


def put_down(env, reached):
    """Drop what is carried where it is least in the way of a later walk to `reached`."""
    best, best_cost, seen = None, float("inf"), set()
    for cost, state in itertools.islice(expand(env, here(env), False), 400):
        cell = ahead(*state)
        if env.grid.get(*cell) is not None or cell in seen or len(seen) > 30:
            continue
        seen.add(cell)
        beside_door = any(is_door(env, ahead(*cell, d)) for d in range(4))
        total = cost + 5 * beside_door + distance(env, state, reached, banned=cell)
        if total < best_cost:
            best, best_cost = state, total
    if best is None:
        raise StuckError("there is no room to put it down")
    yield from walk(env, lambda state: state == best)
    yield DROP


def dodge(env):
    """Go to the goal among moving obstacles, planning at every step; never forward into one."""
    while True:
        try:
            yield route(env, at(goals(env)), False)[0][0]
        except StuckError:
            yield LEFT


# --- ways through the grid ---------------------------------------------------------------------------


def price(env, cell, move):
    """What it costs to enter a cell: 1 where one step does it, more where something must be done before."""
    there, held = env.grid.get(*cell), env.carrying
    if there is None or there.type in ("floor", "goal"):  # a goal is never on the way to something else
        return 1
    if there.type == "door":
        if there.is_open:
            return 1
        if not there.is_locked or opens(held, there):
            return 2
        in_hand = held is not None and opens(held.contains, there)
        return 100 if in_hand or objects(env, lambda o: opens(o, there)) else float("inf")
    return 30 if move and there.type in MOVABLE else float("inf")


def expand(env, start, move, banned=None, parents=None):
    """(cost, state) of the states (x, y, direction) that can be reached, the cheapest first."""
    queue, settled = [(0, start, None)], set()
    while queue:
        cost, state, parent = heapq.heappop(queue)
        if state in settled:
            continue
        settled.add(state)
        if parents is not None:
            parents[state] = parent
        yield cost, state
        x, y, d = state
        for action, turned in ((LEFT, (d - 1) % 4), (RIGHT, (d + 1) % 4)):
            heapq.heappush(queue, (cost + 1, (x, y, turned), (state, action)))
        cell = ahead(*state)
        if inside(env, cell) and cell != banned:
            more = price(env, cell, move)
            if more < float("inf"):
                heapq.heappush(queue, (cost + more, (*cell, d), (state, FORWARD)))


def route(env, reached, move):
    """[(action, cell ahead before it)] of the cheapest way to `reached`."""
    parents = {}
    for _, state in expand(env, here(env), move, parents=parents):
        if reached(state):
            path = []
            while parents[state] is not None:
                state, action = parents[state]
                path.append((action, ahead(*state)))
            return path[::-1]
    raise StuckError("there is no way")


def distance(env, start, reached, banned):
    """The cost of the cheapest way from `start` that does not enter `banned`."""
    return next((cost for cost, state in expand(env, start, True, banned) if reached(state)), float("inf"))


# --- small facts -------------------------------------------------------------------------------------


def here(env):
    return int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir)


def ahead(x, y, d):
    return int(x) + AHEAD[d][0], int(y) + AHEAD[d][1]


def inside(env, cell):
    return 0 <= cell[0] < env.width and 0 <= cell[1] < env.height


def cells(env):
    return itertools.product(range(env.width), range(env.height))


def at(places):
    places = {tuple(int(c) for c in p) for p in places}
    return lambda state: state[:2] in places


def facing(places):
    places = {tuple(int(c) for c in p) for p in places}
    return lambda state: ahead(*state) in places


def goals(env):
    return [p for p in cells(env) if (there := env.grid.get(*p)) is not None and there.type == "goal"]


def objects(env, wanted):
    """[(position, object)] of what is wanted, or of the boxes that hold it."""
    found = [(p, there) for p in cells(env) if (there := env.grid.get(*p)) is not None and there.type in MOVABLE]
    return [(p, o) for p, o in found if wanted(o) or (o.contains is not None and wanted(o.contains))]


def opens(key, door):
    return key is not None and key.type == "key" and key.color == door.color


def is_door(env, cell):
    return inside(env, cell) and (there := env.grid.get(*cell)) is not None and there.type == "door"


def chebyshev(a, b):
    return max(abs(int(a[0]) - int(b[0])), abs(int(a[1]) - int(b[1])))
