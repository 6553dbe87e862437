"""Agents for texts: policies that speak one token a step."""
