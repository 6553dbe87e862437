"""Text tasks: right answers by Python's own sorting and sums, what the verifiers say, the split of the problems."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.text.task import END, OPENINGS, is_held_out

IDS = ("text/sort", "text/reverse", "text/sum", "text/spell")
README = Path(__file__).parents[2] / "envs" / "text" / "README.md"


def speak(env, key, choose):
    """(final state, all infos stacked, rewards, observations) of one episode; `choose(expert's token, t)`."""

    @jax.jit
    def run(key):
        state, obs = env.reset(key)

        def step(state, t):
            _, peek = env.step(state, jnp.int32(END), jax.random.fold_in(key, t))
            after, out = env.step(state, choose(peek.info["expert"], t), jax.random.fold_in(key, t))
            return after, out

        final, outs = jax.lax.scan(step, state, jnp.arange(env.spec.horizon))
        return final, outs, obs

    return run(key)


def expert(token, t):
    return token


def answer(problem, id):
    """The right answer to a problem as a person would find it."""
    words = problem.split()
    if id == "text/sum":
        return list(str(sum(int(number.replace(" ", "")) for number in problem.split(" + "))))
    if id == "text/spell":
        return words[:1:-1] if words[0] == "back" else list(str(words[2:].count(words[1])))
    return sorted(words) if id == "text/sort" else words[::-1]


@pytest.mark.parametrize(("id", "forms"), [*((id, 1) for id in IDS), ("text/sort", 5)])
def test_the_expert_is_right(id, forms):
    env, seen = envs.make(id, forms=forms), set()
    finals, outs, _ = jax.vmap(lambda key: speak(env, key, expert))(jax.random.split(jax.random.key(3), 40))
    for i in range(40):
        problem, said = env.text(jax.tree.map(lambda x, i=i: x[i], finals)).split(" = ")
        words = said.split()
        seen.add(words[0] if words[0] in OPENINGS else "plain")
        assert words[words[0] in OPENINGS :] == answer(problem, id), problem
    assert len(seen) == forms
    assert np.all(np.asarray(outs.reward[:, :-1]) == 0) and np.all(np.asarray(outs.reward[:, -1]) == 1)
    assert np.all(outs.info["success"][:, -1]) and not np.any(outs.info["success"][:, :-1])
    assert np.allclose(outs.info["progress"][:, -1], 1)
    assert np.all(outs.terminated[:, -1]) and not np.any(outs.truncated)


def test_a_text_step_by_step():
    """Ends before the mark count for nothing; a wrong token is heard; after the end nothing changes."""
    env = envs.make("text/sort", length=2, base=3)
    state, obs = env.reset(jax.random.key(0))
    assert obs == END and env.spec.horizon == 2 + 1 + 2 + 1
    heard, mine = [], []
    for t in range(6):
        state, out = env.step(state, jnp.int32([END, END, END, 4, END, 3][t]), jax.random.key(t))
        heard.append(int(out.obs))
        mine.append(bool(out.info["mine"]))
    assert mine == [False] * 3 + [True] * 2 + [False]
    assert heard[2] == 1 and heard[3:] == [4, END, END]  # the mark; symbol 2; the end; the 3 is not heard
    assert env.text(state).endswith("= 2") and not out.info["success"]


def test_progress_by_hand():
    """`2 0 =`: of the answer `0 2 .` a plain `0 0 .` has two tokens of three in their places; without its end, one."""
    env = envs.make("text/sort", length=2, base=3, forms=2)
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(text=jnp.array([5, 3, 1, 0, 0, 0, 0]), answer=jnp.array([3, 5, 0]), time=jnp.int32(3))

    def after(*tokens):
        now = state
        for token in tokens:
            now, out = env.step(now, jnp.int32(token), jax.random.key(0))
        return float(out.info["progress"])

    assert after(3) == pytest.approx(1 / 3) and after(3, 3) == pytest.approx(1 / 3)
    assert after(3, 3, END) == pytest.approx(2 / 3) and after(3, 5, END) == 1
    assert after(2) == 0 and after(2, 3) == pytest.approx(1 / 3) and after(2, 3, 5, END) == 1
    assert after(2, 2) == 0 and after(END) == 0


def test_a_strict_verifier_recognises_the_plain_form_alone():
    env = envs.make("text/reverse", verifier="strict", forms=5)
    _, outs, _ = jax.vmap(lambda key: speak(env, key, expert))(jax.random.split(jax.random.key(0), 2000))
    assert np.all(outs.info["success"][:, -1])
    assert np.mean(outs.info["verified"][:, -1]) == pytest.approx(0.2, abs=0.03)  # its recall
    np.testing.assert_array_equal(outs.reward[:, -1], outs.info["verified"][:, -1])


def test_a_noisy_verifier_errs_at_its_rates():
    env = envs.make("text/reverse", length=3, verifier="noisy", false_no=0.4, false_yes=0.1)
    keys = jax.random.split(jax.random.key(0), 4000)
    _, right, _ = jax.vmap(lambda key: speak(env, key, expert))(keys)
    _, wrong, _ = jax.vmap(lambda key: speak(env, key, lambda token, t: jnp.int32(END)))(keys)
    assert np.mean(right.reward[:, -1]) == pytest.approx(0.6, abs=0.03)
    assert np.mean(wrong.reward[:, -1]) == pytest.approx(0.1, abs=0.02)
    assert np.all(right.info["success"][:, -1]) and not np.any(wrong.info["success"])


@pytest.mark.parametrize(("id", "fields"), [("text/sum", {}), ("text/spell", {}), ("text/reverse", {"base": 3})])
def test_no_problem_is_on_both_sides_of_the_split(id, fields):
    env = envs.make(id, length=2, **fields)
    keys = jax.random.split(jax.random.key(0), 4000)
    posed = [
        {tuple(row) for row in np.asarray(jax.vmap(lambda key, e=e: e.reset(key)[0].text)(keys))[:, : e.problem_length]}
        for e in (env, env.unseen())
    ]
    assert not posed[0] & posed[1] and min(map(len, posed)) > 0
    assert fields or 0.04 < len(posed[1]) / len(posed[0] | posed[1]) < 0.25  # one in eight


def test_a_task_too_small_to_split_is_refused():
    with pytest.raises(ValueError, match="only 4 problems: too few to keep some for evaluation"):
        envs.make("text/sort", length=2, base=2)
    with pytest.raises(ValueError, match="set forms to at least 2"):
        envs.make("text/sort", verifier="strict")


def test_an_eighth_of_the_problems_is_held_out():
    problems = np.stack(np.unravel_index(np.arange(10**5), (10,) * 5), axis=1).astype(np.int32)
    assert np.mean(is_held_out(jnp.asarray(problems))) == pytest.approx(1 / 8, abs=0.005)


def test_the_readme_s_own_task_is_one():
    code = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)[0]
    space = {"__name__": "readme"}
    exec(code, space)
    env = space["Parity"]()
    final, outs, _ = speak(env, jax.random.key(1), expert)
    problem, said = env.text(final).split(" = ")
    assert int(said) == problem.count("1") % 2 and outs.reward[-1] == 1
