"""Proving Ground: papers' claims as things that anybody can press a button on and check."""

__version__ = "0.1.0"
