"""Experiments of CDE and of the offline agents beside it."""
