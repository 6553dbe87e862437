"""Experiments of CDE and of other offline agents."""
