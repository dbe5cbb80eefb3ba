"""Torch networks that methods share, one architecture a file."""
