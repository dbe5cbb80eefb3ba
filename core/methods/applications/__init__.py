"""Applications: vessels, graphs, bandits, federations, reflections and counts."""
