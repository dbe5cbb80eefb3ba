"""Language models: scaling, data, preferences and the stability of training."""
