"""MuJoCo tasks as pure functions: gymnasium's robots (dense and sparse rewards) and two swing-ups; see README.md."""
