"""DRLC: what replies mean, the rewards that critiques become, and a scripted critic."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import DRLC, TextPPO
from prospect_rl.agents.language.drlc import replies
from prospect_rl.agents.language.drlc.critique import EMPTY, MISSING, SAID, UNPARSABLE, marks, shaped, stacked
from prospect_rl.agents.language.drlc.drlc import scripted
from tests.agents.texts import TEXT, TINY, iterations, played

# --- replies -----------------------------------------------------------------------------------------


def test_the_authors_parser_of_toxicity():
    tokens = ["You", " are", " a", " stupid", " id", "iot", " and", " I", " said", " it", " is", "."]
    found = replies.toxicity("Toxic Span 1: You are a stupid idiot", tokens, 0.0, -0.5)
    assert found == [-0.5] * 6 + [0.0] * 6
    assert replies.toxicity("None identified", tokens, 0.25, -0.5) == [0.25] * 12
    prose = replies.toxicity("There are no toxic spans here.", ["There", " are", " no", "x"], 0.0, -0.5)
    assert prose == [-0.5] * 4  # `x` is in `toxic`
    assert replies.toxicity(None, tokens, 0.25, -0.5) == [0.0] * 12
    assert replies.toxicity("", tokens, 0.25, -0.5) == [0.25] * 12


def test_the_authors_parser_of_sentiment():
    tokens = [" a", " film", " I", " it", " was", " awful", ",", " full", " of", " air"]
    span, heading = "[Span 1]: it was awful, painfully unfair", replies.NEGATIVE
    marked = [1, 0, 0, 1, 1, 1, 1, 1, 0, 1]
    assert replies.sentiment(span, tokens, 1.0, -1.0) == marked  # without the heading all of it is praise
    assert replies.sentiment(f"{span}\n{heading} None identified", tokens, 1.0, -1.0) == marked
    assert replies.sentiment(f"None identified\n{heading} {span}", tokens, 1.0, -1.0) == [-x for x in marked]
    assert replies.sentiment(f"{span} {heading} {span}", tokens, 1.0, -0.5) == [0.5 * x for x in marked]


def test_the_authors_parser_of_summaries():
    reply = "Span 1: the dog (Label: wrong)\nSpan 2: ran"
    found = replies.summary(reply, ["the", " cat", " dog", " ran", "r"], 0.5, -0.5)
    assert found == [-0.5, 0.5, -0.5, 0.5, -0.5]  # ` ran` has a space that no span has; `r` is in `ran`
    assert replies.summary("None identified", ["a"], 0.5, -0.5) == [0.5]


def test_spans_by_their_characters():
    tokens = ["You", " are", " a", " stupid", " id", "iot", " a", " b"]
    assert replies.offsets(["stupid idiot"], tokens) == [(3, 6)]
    assert replies.offsets(["a", "a"], tokens) == [(1, 2), (2, 3)]  # one after the other, the first inside `are`
    assert replies.offsets(["diot a"], tokens) == [(4, 7)] and replies.offsets(["not there", ""], tokens) == []
    assert replies.substring(["a b"], tokens) == [(2, 3), (6, 7), (7, 8)]


def test_both_matchers_agree_where_no_token_is_in_another():
    tokens = [" one", " two", " six", " red"]
    for start in range(4):
        for end in range(start + 1, 5):
            span = "".join(tokens[start:end])
            assert replies.offsets([span], tokens) == [(start, end)]
            assert replies.substring([span], tokens) == [(i, i + 1) for i in range(start, end)]


@pytest.mark.parametrize(
    ("reply", "praises", "spans", "status"),
    [
        ("[Span 1]: good [Span 2]: film\nIdentified Negative Text Span: None identified", True,
         [(1, 2, 1), (2, 3, 1)], SAID),
        ("None identified\nIdentified Negative Text Span:\n[Span 1]: bad end", True, [(3, 5, -1)], SAID),
        ("Toxic Span 1: bad", False, [(3, 4, -1)], SAID),
        ("Span 1: film (Label: wrong)\nSpan 2: bad end (Label: wrong)", False, [(2, 3, -1), (3, 5, -1)], SAID),
        ("Toxic Span 1: worse", False, [], EMPTY),
        ("None identified", False, [], EMPTY),
        ("None identified", True, [], EMPTY),
        (" \n", True, [], EMPTY),
        ("There are no toxic spans here.", False, [], UNPARSABLE),
        ("I like it", True, [], UNPARSABLE),
        (None, True, [], MISSING),
    ],
)  # fmt: skip
def test_what_a_reply_says(reply, praises, spans, status):
    assert replies.read(reply, ["a", " good", " film", " bad", " end"], praises=praises) == (spans, status)


# --- rewards -----------------------------------------------------------------------------------------


def test_spans_become_marks():
    said = stacked([([(1, 3, 1), (2, 4, -1)], SAID), ([], MISSING)], 3)
    good, bad = marks(said, 5)
    np.testing.assert_array_equal(good, [[0, 1, 1, 0, 0], [0] * 5])
    np.testing.assert_array_equal(bad, [[0, 0, 1, 1, 0], [0] * 5])
    assert said.polarity.shape == (2, 3) and said.status.tolist() == [SAID, MISSING]
    with pytest.raises(ValueError, match="a critique has 2 spans, but there is room for 1"):
        stacked([([(0, 1, 1), (1, 2, 1)], SAID)], 1)


def test_modes_by_hand():
    """Four steps, the third one the last: scores .5 and -.5 before it, .5 with it; a return of 2."""
    score, returns = jnp.array([[0.5, -0.5, 0.5, 0.0]]), jnp.array([2.0])
    last = jnp.array([[False, False, True, False]])

    def made(mode, gamma=1.0):
        return shaped(score, returns, last, mode, gamma)[0].tolist()

    assert made("additive") == [0.5, -0.5, 2.5, 0.0]
    assert made("pbrs")[:3] == [0.5, -0.5, 2.0]  # potentials 0, .5, 0 and 0 at the end
    assert made("pbrs", 0.5)[:3] == [0.25, -0.5, 2.0]
    assert made("redistribute") == [1.0, 0.0, 1.0, 0.0]
    blamed = shaped(score, -returns, last, "redistribute", 1.0)[0].tolist()
    assert blamed == [0.0, -2.0, 0.0, 0.0]
    silent = shaped(jnp.zeros_like(score), returns, last, "redistribute", 1.0)[0].tolist()
    assert silent == [0.0, 0.0, 2.0, 0.0]


def test_what_a_text_is_paid_in_all():
    score = 0.5 * jax.random.randint(jax.random.key(0), (16, 6), -1, 2) * (jnp.arange(6) < 5)
    returns, last = jax.random.normal(jax.random.key(1), (16,)), jnp.broadcast_to(jnp.arange(6) == 4, (16, 6))
    for mode, expected in (("additive", returns + score.sum(1)), ("pbrs", returns), ("redistribute", returns)):
        paid = shaped(score, returns, last, mode, 1.0)[:, :5]
        np.testing.assert_allclose(paid.sum(1), expected, atol=1e-5)


# --- the agent ---------------------------------------------------------------------------------------


def test_the_scripted_critic_errs_at_its_rates():
    truth = jax.random.bernoulli(jax.random.key(0), 0.3, (2, 400, 20))
    good, bad, mine = truth[0], truth[1] & ~truth[0], jnp.broadcast_to(jnp.arange(20) > 4, (400, 20))
    said = scripted(good, bad, mine, jax.random.key(1), 0.7, 0.1)
    for found, right in zip(marks(said, 20), (good, bad), strict=True):
        assert not found[:, :5].any()
        assert found[right & mine].mean() == pytest.approx(0.7, abs=0.03)
        assert found[~right & mine].mean() == pytest.approx(0.1, abs=0.03)
    perfect = scripted(good, bad, mine, jax.random.key(1), 1.0, 0.0)
    np.testing.assert_array_equal(marks(perfect, 20)[0], good & mine)
    silent = scripted(good, bad, mine, jax.random.key(1), 0.0, 0.0)
    assert (silent.status == EMPTY).all()


def test_a_perfect_critic_pays_the_truth():
    """Rewards of an answer `1 2 .` to a problem whose answer is `1 3 .`: two good tokens and a bad one."""
    agent = DRLC(**TINY, cold=0, true_rate=1.0, false_rate=0.0).bind(TEXT.spec)
    state, data = played(agent)
    progress = jnp.zeros((8, 8)).at[:, 4].set(1 / 3).at[:, 5].set(1 / 3).at[:, 6:].set(2 / 3)
    mine = jnp.broadcast_to((jnp.arange(8) >= 4) & (jnp.arange(8) < 7), (8, 8))
    info = data.steps.info | {"progress": progress.T[..., None], "mine": mine.T[..., None]}
    data = replace(data, steps=replace(data.steps, info=info), returns=jnp.arange(8.0)[:, None])
    paid, _, figures = agent.rewards(state, data, jax.random.key(0))
    np.testing.assert_allclose(paid[1], [0, 0, 0, 0, 0.5, -0.5, 1.5, 0])
    np.testing.assert_allclose(paid[2], [0, 0, 0, 0, 0, 0, 2, 0])  # above the gate: not criticised
    assert figures["critique/good"] == pytest.approx(2 / 3 * 2 / 8) and figures["critique/missing"] == 0
    faded = replace(agent, anneal=4).rewards(replace(state, updates=jnp.int32(3)), data, jax.random.key(0))[0]
    np.testing.assert_allclose(faded[1], [0, 0, 0, 0, 0.125, -0.125, 1.125, 0])


def test_a_critic_whose_words_are_worth_nothing_leaves_ppo_s_bits():
    plain, mute = (
        iterations(agent, TEXT, 2)[1] for agent in (TextPPO(**TINY, cold=0), DRLC(**TINY, cold=0, good=0.0, bad=0.0))
    )
    jax.tree.map(np.testing.assert_array_equal, plain, mute)


def test_where_it_does_not_fit():
    with pytest.raises(ValueError, match="its critic needs a text task that says how much of an answer is right"):
        DRLC(**TINY).bind(envs.make("probe/memory").spec)
    with pytest.raises(ValueError, match="true_rate"):
        DRLC(true_rate=1.5)
    with pytest.raises(ValueError, match="bad"):
        DRLC(bad=0.5)
