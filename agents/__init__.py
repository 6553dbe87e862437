"""Agents in JAX. `from prospect_rl.agents import Serene`; `agents.AGENTS` names them all; start at `agents.api`."""

from __future__ import annotations

from dataclasses import fields as fields_of
from importlib import import_module
from pathlib import Path
from typing import Any

from prospect_rl.agents.api import Agent
from prospect_rl.agents.evolution.aurora import Aurora
from prospect_rl.agents.evolution.cma_me import CMAME
from prospect_rl.agents.evolution.map_elites import MAPElites
from prospect_rl.agents.evolution.novelty_search import NoveltySearch
from prospect_rl.agents.evolution.nsga2 import NSGA2
from prospect_rl.agents.evolution.random_search import RandomSearch
from prospect_rl.agents.evolution.serene.serene import Serene
from prospect_rl.agents.evolution.serene.study import EmitterStudy
from prospect_rl.agents.evolution.stax.stax import Stax, Taxons, UntrainedStax
from prospect_rl.agents.floor import Floor
from prospect_rl.agents.language.drlc.drlc import DRLC
from prospect_rl.agents.language.grpo import GRPO
from prospect_rl.agents.language.hero import HERO
from prospect_rl.agents.language.hero_ppo import HeroPPO
from prospect_rl.agents.language.ppo_text import TextPPO
from prospect_rl.agents.offline.awac import AWAC
from prospect_rl.agents.offline.bc import BC
from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.optidice import OptiDICE
from prospect_rl.agents.offline.cql import CQL
from prospect_rl.agents.offline.filtered_bc import FilteredBC
from prospect_rl.agents.offline.iql import IQL
from prospect_rl.agents.offline.td3_bc import TD3BC
from prospect_rl.agents.online.exploration.count import Count
from prospect_rl.agents.online.exploration.icm import ICM
from prospect_rl.agents.online.exploration.noveld import NovelD
from prospect_rl.agents.online.exploration.ride import RIDE
from prospect_rl.agents.online.exploration.rnd import RND
from prospect_rl.agents.online.mbpo import MBPO
from prospect_rl.agents.online.mex.mex import MEX
from prospect_rl.agents.online.mex.model_based import MEXMB
from prospect_rl.agents.online.mex.tabular import TabularMEX
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.ppo_elmur import ElmurPPO
from prospect_rl.agents.online.sac import SAC
from prospect_rl.agents.online.smose.ppo import SmosePPO
from prospect_rl.agents.online.smose.smose import Smose
from prospect_rl.agents.online.td3 import TD3
from prospect_rl.agents.online.tree import TreeDagger
from prospect_rl.agents.sequence.dt import DT, RATE
from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.agents.sequence.linoss import BCLinOSS
from prospect_rl.agents.sequence.recurrent import BCGRU, BCLSTM, LatchBC
from prospect_rl.agents.sequence.transformer import RMT, BCTransformer, TrXL
from prospect_rl.agents.ship.player import Player
from prospect_rl.envs.fields import aliases
from prospect_rl.envs.names import unknown

__all__ = [
    "AGENTS",
    "AWAC",
    "BC",
    "BCGRU",
    "BCLSTM",
    "CDE",
    "CMAME",
    "CQL",
    "DRLC",
    "DT",
    "GRPO",
    "HERO",
    "ICM",
    "IQL",
    "MBPO",
    "MEX",
    "MEXMB",
    "NSGA2",
    "PPO",
    "RATE",
    "RIDE",
    "RMT",
    "RND",
    "SAC",
    "TD3",
    "TD3BC",
    "Agent",
    "Aurora",
    "BCLinOSS",
    "BCTransformer",
    "Count",
    "Elmur",
    "ElmurPPO",
    "EmitterStudy",
    "FilteredBC",
    "Floor",
    "HeroPPO",
    "LatchBC",
    "MAPElites",
    "NovelD",
    "NoveltySearch",
    "OptiDICE",
    "Player",
    "RandomSearch",
    "Serene",
    "Smose",
    "SmosePPO",
    "Stax",
    "TabularMEX",
    "Taxons",
    "TextPPO",
    "TrXL",
    "TreeDagger",
    "UntrainedStax",
    "load",
    "make",
]

AGENTS: dict[str, type[Agent]] = {
    "aurora": Aurora,
    "awac": AWAC,
    "bc": BC,
    "bc_filtered": FilteredBC,
    "bc_gru": BCGRU,
    "bc_lstm": BCLSTM,
    "bc_transformer": BCTransformer,
    "cde": CDE,
    "cma_me": CMAME,
    "count": Count,
    "cql": CQL,
    "drlc": DRLC,
    "dt": DT,
    "elmur": Elmur,
    "emitter_study": EmitterStudy,
    "floor": Floor,
    "grpo": GRPO,
    "hero": HERO,
    "hero_ppo": HeroPPO,
    "icm": ICM,
    "iql": IQL,
    "latch": LatchBC,
    "linoss": BCLinOSS,
    "map_elites": MAPElites,
    "mbpo": MBPO,
    "mex": MEX,
    "mex_mb": MEXMB,
    "mex_tabular": TabularMEX,
    "noveld": NovelD,
    "novelty_search": NoveltySearch,
    "nsga2": NSGA2,
    "optidice": OptiDICE,
    "ppo": PPO,
    "ppo_elmur": ElmurPPO,
    "ppo_text": TextPPO,
    "random_search": RandomSearch,
    "rate": RATE,
    "ride": RIDE,
    "rmt": RMT,
    "rnd": RND,
    "sac": SAC,
    "serene": Serene,
    "smose": Smose,
    "smose_ppo": SmosePPO,
    "stax": Stax,
    "stax_untrained": UntrainedStax,
    "taxons": Taxons,
    "td3": TD3,
    "td3_bc": TD3BC,
    "tree": TreeDagger,
    "trxl": TrXL,
}
"""Registered name -> class. A line here gives an agent its contract tests, its command line and its reports."""


def make(name: str, **fields: Any) -> Agent:
    """The agent registered as `name`, with these hyper-parameters, by the names of its fields or by their aliases.

    Raises ValueError with one line (and the nearest name) for an unknown name, field or value.
    """
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    known = [*(f.name for f in fields_of(AGENTS[name])), *aliases(AGENTS[name])]
    for field in fields:
        if field not in known:
            raise unknown(f"hyper-parameter of {name}", field, known)
    return AGENTS[name](**fields)


def load(path: Path | str, seed: int | None = None, *, env: Any = None) -> Player:
    """Load a trained agent from a finished run's folder, or from one that `prospect export RUN --player` wrote.

    Args:
        path: The folder.
        seed: Seed to select in a run with several; by default its first.
        env: The environment object, if the run's environment is not registered.

    Returns:
        The agent as a function of observations, which keeps the memory of its episode.

    Raises:
        ValueError: The folder contains no such run, the run has not finished, or a file is damaged.

    Example:
        >>> player = agents.load("my_run")
        >>> action = player(obs)
    """
    # `experiments` reads run folders: the one import of a higher layer, made only when this is called.
    return import_module("prospect_rl.experiments.run.players").load(path, seed, env=env)


if __name__ == "agents":  # imported by its short name, in a checkout
    import_module("prospect_rl.short_names").alias(__name__)
