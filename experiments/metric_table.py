"""The table of all metrics: their words, units, places in the code and spreads (see `experiments.metrics`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["real", "bounded", "skewed"]


@dataclass(frozen=True)
class Metric:
    """One metric, or a family of them that differ in a number."""

    name: str
    """As in metrics.jsonl, summary.csv and claims."""
    words: str
    """What tables and pictures call it; `{area}` is the area's own name, where the environment has one."""
    unit: str
    where: tuple[str, ...]
    """`file: attribute`, the functions that compute it."""
    kind: Kind = "real"
    """How its values over seeds are spread: see `experiments.api.Scores`."""
    low: float = -math.inf
    """Of a bounded one."""
    high: float = math.inf


EVALUATE = ("experiments/run/program.py: Program._evaluate_of",)
COLLECT = ("experiments/run/rows.py: row_of",)
EXAM = ("experiments/run/exams.py: run_exams",)
READING = ("experiments/run/reading.py: Reading.figures",)
TREES = ("experiments/papers/smose/common.py: derived",)
SEEN = ("experiments/run/ledger.py: summary", "experiments/run/ledger.py: update")
STORED = ("experiments/run/ledger.py: summary", "experiments/run/ledger.py: update_stored")
SERENE = ("agents/evolution/serene/state.py: figures",)
ARCHIVES = ("agents/evolution/rows.py: archive_metrics", "agents/ops/grid.py: summary", *SERENE)
STAX = ("agents/evolution/stax/seeing.py: Seeing.told_of",)
STAX_TRAINING = ("agents/evolution/stax/training.py: ended",)
STUDY = ("agents/evolution/serene/study.py: EmitterStudy._metrics",)
PPO = ("agents/online/ppo.py: PPO.loss",)
TEXT_PPO = "agents/language/ppo_text.py: TextPPO"
DRLC = ("agents/language/drlc/drlc.py: DRLC.rewards",)
TD3 = "agents/online/td3.py: TD3Updates.critic_loss"
SAC = "agents/online/sac.py: SACUpdates.critic_loss"
SAC_ACTOR = "agents/online/sac.py: SACUpdates.soft_loss"
SMOSE = "agents/online/smose/smose.py: Smose.actor_loss"
USAGE = ("agents/online/smose/balance.py: usage",)
TREE = ("agents/online/tree.py: TreeDagger.learn",)
MBPO = ("agents/online/mbpo.py: MBPO.learn",)
MEX = "agents/online/mex/mex.py: MEX.critic_loss"
TABULAR = ("agents/online/mex/tabular.py: TabularMEX.learn",)
MODEL_BASED = ("agents/online/mex/model_based.py: MEXMB.model_loss",)
AWAC = "agents/offline/awac.py: AWAC.critic_loss"
IQL = "agents/offline/iql.py: IQL.loss"
CQL_UPDATE = "agents/offline/cql.py: CQL.update"
CQL = "agents/offline/cql.py: CQL.critics_loss"
DICE = ("agents/offline/cde/optidice.py: OptiDICE.values_loss",)
DICE_POLICY = ("agents/offline/cde/optidice.py: OptiDICE.update",)
ICM = ("agents/online/exploration/icm.py: ICM.model_loss",)
NEW_IN = "agents/online/exploration/"
NEW = tuple(f"{NEW_IN}{file}.bonus" for file in ("count.py: Count", "noveld.py: NovelD", "ride.py: RIDE"))
GROUPS = ("agents/language/grpo_data.py: group_figures",)
COUNTED = ("agents/language/grpo.py: GRPO.counted",)
HERO = ("agents/language/hero.py: HERO._by",)
JUDGES = ("agents/language/hero.py: HERO._known",)
GRID = "experiments/papers/hero/hero_grid.py"
GRPO = ("agents/language/grpo_data.py: losses",)
CDE_E = ("agents/offline/cde/cde.py: CDE.e_loss",)
BONUS = ("agents/online/exploration/bonus.py: Explorer.rewards",)
DATA = ("experiments/run/member.py: Member", "envs/data/datasets.py: count")
CLIMB = ("experiments/papers/serene/common.py: climb",)
REACH = ("experiments/papers/elmur/elmur_theory.py: reach",)
BEST = ("experiments/papers/stax/common.py: best",)
FIRST = ("experiments/papers/serene/common.py: log_first",)


def _share(name: str, words: str, where: tuple[str, ...]) -> Metric:
    """A share of something, between 0 and 1."""
    return Metric(name, words, "share", where, "bounded", 0.0, 1.0)


def _count(name: str, words: str, where: tuple[str, ...], unit: str = "evaluations") -> Metric:
    """A number of something until something, with a long tail."""
    return Metric(name, words, unit, where, "skewed")


ALL: tuple[Metric, ...] = (
    # what the agent would ship, in whole episodes
    Metric("eval/return", "return of an evaluation", "reward", EVALUATE),
    Metric("eval/length", "length of an evaluation's episodes", "steps", EVALUATE),
    _share("eval/success", "success rate", EVALUATE),
    Metric("eval/linear/return", "return of the law as printed", "reward", EVALUATE),
    Metric("eval/linear/length", "length of its episodes by the law as printed", "steps", EVALUATE),
    _share("eval/linear/success", "success rate of the law as printed", EVALUATE),
    Metric("unseen/return", "return on unseen levels", "reward", EVALUATE),
    Metric("unseen/length", "length of episodes on unseen levels", "steps", EVALUATE),
    _share("unseen/success", "success rate on unseen levels", EVALUATE),
    Metric("exam/{exam}/return", "return {exam}", "reward", EXAM),
    Metric("exam/{exam}/length", "length of episodes {exam}", "steps", EXAM),
    _share("exam/{exam}/success", "success rate {exam}", EXAM),
    Metric("reading/trained", "return as trained, after the end", "reward", READING),
    Metric("reading/linear", "return of the law as printed, after the end", "reward", READING),
    Metric("reading/trees", "return of the law as printed where trees choose the expert", "reward", READING),
    Metric("reading/best_expert", "return of the best expert alone", "reward", READING),
    Metric("reading/main_experts", "experts above a tenth of the steps", "experts", READING),
    Metric("reading/usage_entropy", "entropy of the experts' shares of the steps", "nats", READING),
    _share("trees/agreement", "share of the steps at which trees choose the router's expert", READING),
    _share("trees/balanced", "balanced accuracy of an expert's tree, mean", READING),
    _share("trees/none", "share of the steps at which no tree says yes", READING),
    _share("trees/several", "share of the steps at which several trees say yes", READING),
    Metric("trees/nodes", "nodes of all trees", "nodes", READING),
    Metric("exam_best/{exam}/return", "return of the best checkpoint {exam}", "reward", EXAM),
    Metric("exam_best/{exam}/length", "length of episodes of the best checkpoint {exam}", "steps", EXAM),
    _share("exam_best/{exam}/success", "success rate of the best checkpoint {exam}", EXAM),
    # episodes that ended in training since the row before
    Metric("collect/episodes", "episodes that ended in training", "episodes", COLLECT),
    Metric("collect/return", "return in training", "reward", (*COLLECT, *TABULAR)),
    Metric("collect/length", "length of episodes in training", "steps", COLLECT),
    _share("collect/success", "success rate in training", COLLECT),
    Metric("collect/failed", "episodes that the simulator cut short", "episodes", COLLECT),
    Metric("collect/invalid", "policies so far whose return or descriptor was not finite", "policies",
           ("experiments/run/program.py: Program._step_of",)),
    # all evaluations of a search over policies; coverage and uniformity are real: see `experiments.api.Scores`
    Metric("ledger/coverage", "coverage", "share", SEEN),
    Metric("ledger/coverage_all", "coverage, trials of emitters included", "share", SEEN),
    Metric("ledger/uniformity", "uniformity of the exploration", "share",
           ("experiments/run/ledger.py: uniformity", SEEN[0])),
    Metric("ledger/best_{k}", "best reward in {area}", "reward", SEEN),
    _count("ledger/first_{k}", "evaluations to the first reward in {area}", SEEN),
    _count("ledger/reached_{k}", "evaluations to a reward of .9 in {area}", SEEN),
    Metric("ledger/paid_{k}", "evaluations rewarded in {area}", "evaluations", SEEN),
    Metric("ledger/stored_best_{k}", "best stored reward in {area}", "reward", STORED),
    _count("ledger/stored_first_{k}", "evaluations to the first stored reward in {area}", STORED),
    _count("ledger/stored_reached_{k}", "evaluations to a stored reward of .9 in {area}", STORED),
    Metric("ledger/phase_{k}", "evaluations in phase {k}", "evaluations", SEEN),
    # archives and emitters
    Metric("archive/size", "policies stored", "policies", ARCHIVES),
    Metric("archive/rewards", "rewarded policies stored", "policies", SERENE),
    Metric("archive/threshold", "smallest distance of two stored policies in the features", "",
           ("agents/evolution/aurora.py: Aurora.learn",)),
    Metric("archive/overflow", "policies for which an archive had no room", "policies", ARCHIVES),
    Metric("archive/best_{k}", "best reward in {area}, now stored", "reward",
           (*ARCHIVES, "agents/evolution/random_search.py: RandomSearch.learn")),
    Metric("emitters/candidates", "rewarded policies not yet tried as emitters", "policies", SERENE),
    Metric("emitters/active", "emitters under way", "emitters", SERENE),
    Metric("emitters/lost", "emitters for which their table had no room", "emitters", SERENE),
    Metric("emitters/mean", "mean reward of the emitters' policies", "reward", STUDY),
    Metric("emitters/best", "best reward of an emitter, mean over emitters", "reward", STUDY),
    Metric("emitters/improvement", "improvement of an emitter, mean over emitters", "reward", STUDY),
    Metric("emitters/steps", "generations of an emitter", "generations", STUDY),
    Metric("learn/stored", "policies stored in the last batch", "policies",
           ("agents/evolution/map_elites.py: MAPElites.learn", "agents/evolution/cma_me.py: CMAME.learn")),
    Metric("learn/restarts", "restarts of emitters", "restarts", ("agents/evolution/cma_me.py: CMAME.learn",)),
    # features of pictures
    Metric("features/spread", "standard deviation of the features", "", STAX),
    Metric("features/nearness", "distance in the arena to the nearest in features, over the mean", "ratio", STAX),
    _share("features/blank", "share of pictures without anything that moves", STAX),
    Metric("features/unexplained", "share of the pictures' variance that is not reconstructed", "share", STAX_TRAINING),
    Metric("learn/loss_picture", "lowest validation error of the last training", "loss", STAX_TRAINING),
    Metric("learn/trainings", "trainings of the autoencoder", "trainings", STAX_TRAINING),
    # actors and critics
    Metric("learn/loss_critic", "loss of the critics", "loss", (TD3, SAC, MEX, AWAC, IQL, CQL)),
    Metric(
        "learn/loss_actor", "loss of the actor", "loss",
        ("agents/online/td3.py: TD3Updates.update", SAC_ACTOR, "agents/offline/awac.py: AWAC.update", IQL),
    ),
    Metric("learn/value", "value that the agent expects", "reward", (TD3, SAC, MEX, AWAC, IQL, CQL, *PPO, *TABULAR)),
    Metric("learn/entropy", "entropy of the policy", "nats", (SAC_ACTOR, *PPO, *GRPO)),
    Metric("learn/alpha", "weight of the entropy", "", ("agents/online/sac.py: SACUpdates.update", CQL_UPDATE)),
    Metric("replay/size", "transitions in the replay", "transitions",
           ("agents/online/off_policy.py: OffPolicy.learn", *MBPO)),
    Metric("replay/imagined", "imagined transitions in the replay", "transitions", MBPO),
    Metric("learn/loss_v", "loss of the state value", "loss", (IQL, *DICE)),
    Metric("learn/gap", "gap between values of the policy's and of the data's actions", "reward", (MEX, CQL)),
    Metric("learn/price", "multiplier of the conservative loss", "", (CQL_UPDATE,)),
    # PPO
    Metric("learn/loss_policy", "loss of the policy", "loss", (*PPO, *GRPO, *DICE_POLICY)),
    Metric("learn/loss_value", "loss of the value", "loss", PPO),
    _share("learn/clipped", "share of clipped ratios", (*PPO, *GRPO)),
    Metric("learn/kl", "divergence from the policy that played", "nats", (*PPO, *GRPO)),
    Metric("learn/rate", "learning rate", "", ("agents/online/ppo.py: PPO.learn",)),
    # PPO on whole texts, and what a critic says of them
    Metric("start/away", "divergence from the policy after the cold start", "nats",
           (f"{TEXT_PPO}.loss", f"{TEXT_PPO}.learn")),
    Metric("start/weight", "weight of that divergence", "", (f"{TEXT_PPO}.learn",)),
    _share("critique/good", "share of tokens in good spans", DRLC),
    _share("critique/bad", "share of tokens in bad spans", DRLC),
    _share("critique/empty", "share of critiques without a span", DRLC),
    _share("critique/unparsable", "share of critiques that cannot be read", DRLC),
    _share("critique/missing", "share of critiques that never came", DRLC),
    # groups of episodes from the same start, and the reward model that orders them
    _share("groups/wrong", "share of groups without a right answer", GROUPS),
    _share("groups/right", "share of groups with right answers alone", GROUPS),
    _share("groups/success", "success rate of the groups' episodes", GROUPS),
    Metric("groups/until", "episodes until fewer than half of ten iterations' groups had no right answer; -1: never",
           "episodes", COUNTED),
    Metric("groups/length", "length of the groups' episodes", "steps", COUNTED),
    Metric("groups/advantage", "size of the advantages", "reward", GROUPS),
    Metric("groups/advantage_none", "size of the advantages in groups without an accepted answer", "reward", GROUPS),
    Metric("groups/advantage_some", "size of the advantages in groups of both kinds", "reward", GROUPS),
    Metric("groups/advantage_all", "size of the advantages in groups with accepted answers alone", "reward", GROUPS),
    Metric("groups/reward", "reward that is learned from", "reward", GROUPS),
    _share("groups/verified_wrong", "share of groups without an accepted answer", HERO),
    _share("groups/verified_right", "share of groups with accepted answers alone", HERO),
    Metric("groups/weight", "relative change of advantages by the groups' weights", "ratio", HERO),
    Metric("groups/weight_mean", "the same, mean over all iterations of learning", "ratio", JUDGES),
    Metric("groups/weight_most", "the same, largest of all iterations of learning", "ratio", JUDGES),
    _share("verifier/recall", "verifier: share of right answers that it accepts", JUDGES),
    _share("verifier/precision", "verifier: share of right ones among what it accepts", JUDGES),
    _share("verifier/false_yes", "verifier: share of wrong answers that it accepts", JUDGES),
    _share("rm/recall", "reward model as a verifier: share of right answers that it accepts", JUDGES),
    _share("rm/precision", "reward model as a verifier: share of right ones among what it accepts", JUDGES),
    _share("rm/false_yes", "reward model as a verifier: share of wrong answers that it accepts", JUDGES),
    _share("rm/auroc", "reward model: right answers above wrong ones", HERO),
    Metric("rm/rank", "reward model: rank correlation with progress where all are wrong", "correlation", HERO),
    _share("rm/hacked", "share of answers that deceive the proxy", HERO),
    Metric("rm/dropped", "scores of the reward model that are not finite", "answers", HERO),
    # bonuses for exploring
    Metric("bonus/mean", "bonus for exploring, mean over steps", "reward", BONUS),
    Metric("bonus/weight", "weight of the bonus", "", BONUS),
    _share("bonus/new", "share of steps to a state new in its episode", NEW),
    _share("bonus/used", "share of the table of counts in use", NEW[:1]),
    Metric("learn/loss_model", "loss of the model", "loss",
           (f"{NEW_IN}rnd.py: RND.model_loss", "agents/online/mbpo.py: MBPO.model_loss", *MODEL_BASED,
         "agents/language/hero.py: HERO.learn")),
    Metric("learn/loss_forward", "error of the forward model", "loss", ICM),
    Metric("learn/loss_inverse", "error of the inverse model", "loss", ICM),
    # models of the environment, and MEX
    # routers of linear experts
    Metric("learn/loss_aux", "auxiliary loss of the router", "loss",
           (SMOSE, "agents/online/smose/ppo.py: SmosePPO.loss")),
    Metric("learn/usage_entropy", "entropy of the experts' usage", "nats", USAGE),
    Metric("learn/experts_used", "experts above 1 % of the rows", "experts", USAGE),
    _share("learn/gate", "probability of the expert that acts", USAGE),
    Metric("learn/model_error", "error of the model on rows kept out", "loss", MBPO),
    Metric("learn/model_epochs", "epochs of the model's last training", "epochs", MBPO),
    Metric("learn/value_term", "value term of the loss", "reward", (MEX, *MODEL_BASED)),
    Metric("learn/likelihood", "negative log-likelihood of the model", "nats", MODEL_BASED),
    Metric("learn/advantage", "advantage of what the model imagines", "reward", MODEL_BASED),
    Metric("learn/advantage_spread", "standard deviation of that advantage", "reward", MODEL_BASED),
    Metric("learn/objective", "objective of the model's choice", "nats", TABULAR),
    Metric("learn/start", "start from which the best model was found", "index", TABULAR),
    Metric("learn/visited", "pairs of state and action tried", "pairs", TABULAR),
    # from data alone
    Metric("learn/loss_tree", "squared error of the tree on its newest steps", "loss", TREE),
    Metric("learn/tree_nodes", "nodes of the newest tree", "nodes", TREE),
    Metric("learn/tree_score", "reward of an episode in the newest round", "reward", TREE),
    Metric("learn/loss", "loss of the imitation", "loss",
           ("agents/offline/bc.py: BC.learn", "agents/sequence/imitation.py: SequenceBC.learn")),
    Metric("learn/loss_e", "loss of the edge value", "loss", DICE),
    Metric("learn/loss_behaviour", "loss of the behaviour model", "loss", DICE),
    Metric("learn/ratio_v", "density ratio by the state value, mean", "ratio", DICE),
    Metric("learn/ratio_e", "density ratio by the edge value, mean", "ratio", DICE),
    Metric("learn/log_c", "log weight of the entropy", "", DICE_POLICY),
    _share("learn/outside_above", "share of unseen actions above the limit", CDE_E),
    Metric("data/rows", "rows of the data", "rows", DATA),
    Metric("data/episodes", "episodes of the data", "episodes", DATA),
    Metric("data/paid", "rewarded episodes of the data", "episodes", DATA),
    Metric("data/paid_last", "episodes of the data with a reward at their end", "episodes", DATA),
    Metric("learn/reward", "reward of a step", "reward", ("agents/floor.py: Floor.learn",)),
    # what experiments work out from a final row
    Metric("best", "best reward, mean over the areas", "reward", BEST),
    Metric("stored_best", "best stored reward, mean over the areas", "reward", BEST),
    Metric("log10_first", "log10 of the evaluations to the first reward", "log10 evaluations", FIRST),
    Metric("log10_first_{k}", "log10 of the evaluations to the first reward in {area}", "log10 evaluations", FIRST),
    _count("climb_{k}", "evaluations from the first reward to .9 in {area}", CLIMB),
    _count("stored_climb_{k}", "evaluations from the first stored reward to .9 in {area}", CLIMB),
    _count("episodes_until", "episodes until fewer than half of ten iterations' groups had no success, or the budget",
           (f"{GRID}: until",), "episodes"),
    _share("until_share", "the same as a share of the budget", (f"{GRID}: until_share",)),
    _share("reached", "share of seeds that got there", (f"{GRID}: reached",)),
    _share("solved", "share of seeds that open the lock", ("experiments/papers/mex/mex_lock.py: solved",)),
    Metric("reach", "log2 of the steps at which success falls below .75", "log2 steps", REACH),
    _share("two_experts", "share of seeds with two experts above a tenth of the steps", TREES),
    _share("trees_agreement", "agreement of the trees, of these seeds", TREES),
    _share("trees_balanced", "balanced accuracy of the trees, of these seeds", TREES),
    Metric("trees_kept", "return by trees in units of the law's as printed, of these seeds", "ratio", TREES),
    Metric("trees_gain", "return by trees less that of the best expert alone, of these seeds", "reward", TREES),
    Metric("d4rl score", "D4RL score", "% of the reference", ("envs/data/scores.py: d4rl_score",)),
    Metric("of a clean controller", "controller ratio", "ratio", ("envs/data/scores.py: controller_share",)),
)  # fmt: skip
