"""The gallery: one folder a family, one file a paper. base.py is the contract, registry.py finds the files."""
