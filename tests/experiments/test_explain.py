"""`prospect explain`: a page of a small run, pages of readings made by hand, and lines for what has no page."""

import json
import re
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents.online.smose import trees
from prospect_rl.agents.online.smose.policy import Law
from prospect_rl.agents.online.smose.trees import Fidelity
from prospect_rl.envs.small.point import SparsePoint
from prospect_rl.experiments import train
from prospect_rl.experiments.api import Exam
from prospect_rl.experiments.cli.explain import chosen, explain_run, seeds_in
from prospect_rl.experiments.cli.main import main
from prospect_rl.experiments.run import reading
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.reading import Reading
from prospect_rl.experiments.site import bars, explain, html
from prospect_rl.experiments.site.explain import About

SMALL = {"hidden": (8,), "learning_starts": 20, "batch_size": 8, "capacity": 200, "experts": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose exam reads its policy."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("explain") / "run"
    agent = agents.Smose(**SMALL)
    made = Run(agent, "point/sparse", budget=60, evals=1, exams=(Exam("trees", {}, episodes=3, reads=True),))
    return folder, train_run(made, out=folder)


class Tags(HTMLParser):
    """All start tags of a page with their attributes; open tags must be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_of_a_run_needs_no_network(run, capsys):
    folder, _ = run
    assert explain_run([str(folder), "--episodes", "2", "--depth", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(folder / name) for name in ("explain.html", "trees.json", "trees.txt")
    ]
    text = (folder / "explain.html").read_text()
    parsed = Tags(text)
    assert not parsed.open
    links = [value for _, attrs in parsed.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"https?://|@import|url\(", text)
    ids = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    assert {"returns", "episode", "laws", "router", "trees", "size"} <= ids
    assert len([1 for tag, attrs in parsed.tags if tag == "img"]) == 8, "pictures of the episode"
    for words in ("expert", "SAC-S", "SAC-M", "alone", "agreement", "as trained", "as it is printed"):
        assert words in text
    made = json.loads((folder / "trees.json").read_text())
    assert list(made) == ["each", "one"] and made["each"]["depth"] == 2
    again = trees.from_json(json.dumps(made["one"]))
    assert again.trees.depth == 2
    assert "does it act?" in (folder / "trees.txt").read_text()


def test_an_exam_reads_the_finished_policy(run):
    folder, result = run
    row = result.rows[-1]
    assert 0 <= row["trees/agreement"] <= 1 and row["reading/main_experts"] in (0, 1, 2, 3)
    assert 0 <= row["reading/usage_entropy"] <= np.log(3) + 1e-6
    assert json.loads((folder / "exams.json").read_text())["trees"][0]["trees/nodes"] == row["trees/nodes"]


def test_all_ways_to_act_have_the_same_starts(run):
    _, result = run
    env = SparsePoint()
    law = result.agent.law(result.behaviour)
    alike = law.replace(
        mean_kernel=jnp.repeat(law.mean_kernel[:1], 3, axis=0), mean_bias=jnp.repeat(law.mean_bias[:1], 3, axis=0)
    )
    made = trees.fit(alike, np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32))
    features = reading.features_of(result.agent, result.behaviour)
    found = reading._returns(env, features, alike, made, reading.stream(0, 0), 2)
    assert list(found) == ["trained", "linear", "trees", "expert 0", "expert 1", "expert 2"]
    for way in ("trees", "expert 0", "expert 1", "expert 2"):
        assert (found[way] == found["linear"]).all(), "experts that are alike act alike"


def test_the_data_are_episodes_of_the_shipped_policy(run):
    _, result = run
    seen = reading.read(result.agent, SparsePoint(), result.behaviour, 0, episodes=2, states=10)
    assert seen.steps.shape == (100, 2) and (seen.length == 50).all() and len(seen.state_steps) == 10
    assert (seen.steps[0] == 0).all(), "an episode begins at the origin"
    assert seen.usage.sum() == pytest.approx(1) and len(seen.alone) == 3


def test_a_folder_of_seeds_as_one_program(tmp_path):
    """As a sweep on a GPU leaves them, here beside a seed on cores."""
    configs = {"seed-1": {"seeds": [1]}, "seeds-0-2-gpu": {"seeds": [0, 1, 2], "device": "gpu"}}
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"config": config}))
    folders = seeds_in(tmp_path)
    assert [folder.name for folder in folders] == list(configs)
    assert [chosen(folders, seed).name for seed in (None, 0, 1, 2)] == [
        "seed-1", "seeds-0-2-gpu", "seed-1", "seeds-0-2-gpu",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has no seed 7; it has 0, 1, 2$"):
        chosen(folders, 7)


def test_a_folder_of_seeds(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "seed-0").symlink_to(folder, target_is_directory=True)
    (tmp_path / "seed-10").mkdir()
    (tmp_path / "seed-10" / "run.json").write_text(json.dumps({"config": {"seeds": [10]}}))
    (tmp_path / "seed-10" / "result.json").write_text((folder / "result.json").read_text())
    assert explain_run([str(tmp_path), "--seed", "0", "--episodes", "2", "--out", str(tmp_path / "a" / "b.html")]) == 0
    text = (tmp_path / "a" / "b.html").read_text()
    assert "All seeds" in text and "seed 0" in text and (tmp_path / "a" / "trees.json").exists()
    assert main(["explain", str(tmp_path), "--seed", "7"]) == 2
    assert "has no seed 7; it has 0, 10" in capsys.readouterr().err


# --- what has no page ------------------------------------------------------------------------------------


def test_another_agent_is_one_line(tmp_path, capsys):
    train("floor", "point/sparse", budget=100, evals=1, out=tmp_path)
    assert main(["explain", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["prospect: the policy of Floor has no linear experts to read: smose and smose_ppo have"]


def test_an_unfinished_run_is_one_line(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    assert main(["explain", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [f"prospect: {tmp_path} has not finished"]
    assert main(["explain", str(tmp_path / "nowhere")]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_an_exam_that_reads_another_agent_is_refused_before_training():
    asked = Run(agents.Floor(), "point/sparse", budget=100, evals=1, exams=(Exam("trees", {}, reads=True),))
    with pytest.raises(ValueError, match="no linear experts to read"):
        train_run(asked)


def test_a_law_that_is_not_finite_is_one_line(run):
    _, result = run
    actor = result.behaviour.actor
    spoilt = {"params": {**actor["params"], "router": {**actor["params"]["router"], "bias": jnp.full(3, jnp.nan)}}}
    with pytest.raises(ValueError, match="not finite: there is nothing to read"):
        reading.read(result.agent, SparsePoint(), result.behaviour.replace(actor=spoilt), 0)


# --- pages of readings made by hand ----------------------------------------------------------------------


def by_hand(experts: int, chosen: list[int], discrete: bool = False, steps: np.ndarray | None = None) -> Reading:
    """A reading of two features and one action, of one episode."""
    draws = np.random.default_rng(0)
    bounds = {} if discrete else {"low": -jnp.ones(1), "high": jnp.ones(1)}
    router, means = (jnp.asarray(draws.normal(size=shape)) for shape in ((2, experts), (experts, 2, 1)))
    law = Law(router, jnp.zeros(experts), means, jnp.zeros((experts, 1)), **bounds)
    n = len(chosen)
    leaf = trees.DecisionTree(*(jnp.zeros((1, 1), jnp.int32) for _ in range(4)), jnp.ones((1, 1, 2)), 1)
    returns = {way: np.ones(1) for way in ("trained", "linear", "trees", *(f"expert {m}" for m in range(experts)))}
    made = trees.Routing(leaf, jnp.ones((1, 2)), jnp.array([chosen[0]]), "each")
    steps = draws.normal(size=(n, 2)) if steps is None else steps
    faith = Fidelity(1.0, {chosen[0]: float("nan")}, 0.0, 0.0, 1)
    return Reading(
        law, steps, np.array(chosen), np.array([n]), None, np.zeros(0, int), returns, {"each": made}, {"each": faith}
    )


ABOUT = About("<Title>", [("Agent", "a & b")], ["x <", "y"], ["push"], [("router and all experts", 10)],
              no_pictures="no OpenGL <here>")  # fmt: skip


def test_one_expert_has_no_router():
    text = explain.page(by_hand(1, [0] * 5), ABOUT)
    assert "one expert and nothing to route" in text and "&lt;Title&gt;" in text and "a &amp; b" in text
    assert "No pictures: no OpenGL &lt;here&gt;." in text and "expert 0 100 %" in text
    assert not Tags(text).open


def test_one_surviving_expert_of_several():
    text = explain.page(by_hand(3, [2] * 5), ABOUT)
    assert "Never chosen: expert 0 and expert 1." in text
    assert 'id="expert-2"' in text and 'id="expert-0"' not in text, "idle experts have no law to read"


def test_observations_that_never_vary():
    text = explain.page(by_hand(2, [0, 1, 0, 1], steps=np.ones((4, 2))), ABOUT)
    assert "Never varies, so is part of the value at the average: x &lt; and y." in text
    assert "is always" in text and "nan" not in text.lower().replace("finance", "")


def test_discrete_choices_have_scores():
    assert "the largest score wins" in explain.page(by_hand(2, [0, 1, 0, 1], discrete=True), ABOUT)


def test_effects_are_in_units_of_the_spread():
    made = by_hand(2, [0, 1, 0, 1])
    seen = explain.Seen(made, ABOUT)
    kernel = np.asarray(made.law.mean_kernel)[0, :, 0]
    told = dict(seen.sorted(kernel))
    assert told["y"] == pytest.approx(kernel[1] * made.steps[:, 1].std())
    assert [abs(x) for x in told.values()] == sorted((abs(x) for x in told.values()), reverse=True)


def test_a_law_in_words():
    said = explain._sentence(0.1234, [("speed", 0.6), ("height", -0.3), ("angle", 0.1)])
    assert said == "is 0.123 on average; it rises with speed (+0.6) and falls with height (-0.3)."
    assert html.joined(["a", "b", "c"]) == "a, b and c"


def test_a_strip_covers_all_steps():
    drawn = bars.strip(np.array([1, 1, 0, 2]), ["a", "b", "c"], title="t")
    widths = [float(x) for x in re.findall(r'width="([\d.]+)"', drawn)]
    assert widths == [500.0, 250.0, 250.0] and "b: steps 0 to 1" in drawn
