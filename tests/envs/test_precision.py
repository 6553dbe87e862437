"""No environment computes a product that a GPU would round to ten bits (TF32)."""

import re

import jax
import pytest

from prospect_rl import envs
from tests.small_ids import MINIGRID, POPGYM

IDS = [id for id in envs.ENVS if id in {*MINIGRID, *POPGYM} or not id.startswith(("minigrid/", "popgym/"))]
PRODUCT = re.compile(r"dot_general\[.*?\n\s*\]", re.S)


def products(f, *args):
    """The products in a function, as they are printed."""
    return PRODUCT.findall(str(jax.make_jaxpr(f)(*args)))


@pytest.mark.parametrize("id", IDS)
def test_an_environments_products_are_exact(id):
    env, key = envs.make(id), jax.random.key(0)
    state, _ = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(env.spec.action.sample, key)
    found = [*products(env.reset, key), *products(env.step, state, action, key)]
    assert all("HIGHEST" in product for product in found), found
    if id == "arm/redundant":
        assert found, "the pattern finds products"
