"""Metric learning: spaces in which distance means difference, and what can be recognised there from few examples."""
