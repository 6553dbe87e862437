"""Other libraries' names of hyper-parameters: accepted by constructors, `make` and the command line, in no hash."""

import dataclasses

import pytest

from prospect_rl import agents
from prospect_rl.agents import CMAME, MEXMB, PPO, RND, SAC, ElmurPPO, Floor, MAPElites
from prospect_rl.envs.fields import aliases
from prospect_rl.experiments.cli import listing
from prospect_rl.experiments.cli.parser import Parser, add_options, given
from prospect_rl.experiments.run.config import Run

PPO_ALIASES = {
    "n_envs": "num_envs", "n_steps": "length", "n_epochs": "epochs", "gae_lambda": "lam", "clip_range": "clip",
    "clip_range_vf": "clip_value", "ent_coef": "entropy", "vf_coef": "value_weight",
}  # fmt: skip


def test_a_constructor_takes_an_alias_for_its_field():
    assert PPO(gae_lambda=0.9, n_steps=64) == PPO(lam=0.9, length=64)
    assert agents.make("sac", buffer_size=10_000, n_envs=2, train_freq=3) == SAC(
        capacity=10_000, num_envs=2, train_every=3
    )
    assert MAPElites(batch_size=7).batch == 7 and CMAME(batch_size=8).batch == 8 and Floor(n_envs=2).num_envs == 2
    assert aliases(PPO) == PPO_ALIASES


def test_a_subclass_with_another_default_keeps_the_alias():
    assert RND(ent_coef=0.2).entropy == 0.2 and ElmurPPO(ent_coef=0.3).entropy == 0.3
    with pytest.raises(TypeError, match="vf_coef"):
        MEXMB(vf_coef=1.0)  # its value_weight is of MEX, not of a value loss


def test_an_alias_names_one_field_and_is_no_field():
    for cls in agents.AGENTS.values():
        fields = {f.name for f in dataclasses.fields(cls)}
        assert set(aliases(cls).values()) <= fields and not set(aliases(cls)) & fields


def test_a_hash_knows_no_aliases():
    run = Run(PPO(gae_lambda=0.9), "maze/hard", budget=4096)
    assert run.hash == Run(PPO(lam=0.9), "maze/hard", budget=4096).hash
    assert not set(PPO_ALIASES) & set(str(run.config()).replace("'", " ").split())


@pytest.mark.parametrize("make", [PPO, lambda **fields: agents.make("ppo", **fields)])
def test_both_names_of_a_field_are_refused_in_one_line(make):
    with pytest.raises(ValueError, match="^lam and gae_lambda are two names of one setting: give one of them$"):
        make(lam=0.9, gae_lambda=0.9)


def test_an_unknown_name_is_told_the_nearest_one_aliases_included():
    with pytest.raises(ValueError, match="unknown hyper-parameter of ppo 'gae_lamda'; did you mean 'gae_lambda'"):
        agents.make("ppo", gae_lamda=0.9)
    with pytest.raises(ValueError, match="unknown hyper-parameter of ppo 'gama'; did you mean 'gamma'"):
        agents.make("ppo", gama=0.9)


def test_the_command_line_takes_aliases():
    parser = Parser(prog="test")
    add_options(parser, PPO, title="hyper-parameters")
    args = parser.parse_args(["--gae-lambda", "0.9", "--n-envs=8", "--gamma", "0.5", "--gamma", "0.6"])
    assert given(args, "hyper-parameters") == {"lam": 0.9, "num_envs": 8, "gamma": 0.6}
    with pytest.raises(ValueError, match="^--lam and --gae-lambda are two names of one setting: give one of them$"):
        parser.parse_args(["--lam", "0.9", "--gae-lambda", "0.8"])
    with pytest.raises(ValueError, match="did you mean '--gae-lambda'"):
        parser.parse_args(["--gae-lamda", "0.9"])


def test_the_help_names_aliases():
    parser = Parser(prog="test")
    add_options(parser, PPO, title="hyper-parameters")
    assert "--lam FLOAT, --gae-lambda FLOAT" in parser.format_help()
    rows = {row["flag"]: row["meaning"] for row in listing.facts_of("ppo")["hyper-parameters"]}
    assert rows["--lam"].endswith(" Alias: --gae-lambda.") and "Alias" not in rows["--gamma"]
