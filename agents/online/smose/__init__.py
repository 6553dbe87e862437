"""SMoSE, a sparse mixture of linear experts: on SAC (`smose`) and on PPO (`ppo`); `policy` is what people read.

See docs/methods/smose.md.
"""
