"""MuJoCo tasks as pure functions: gymnasium's robots, dense and sparse, and two swing-ups. See README.md."""
