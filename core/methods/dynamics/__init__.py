"""Training dynamics: step sizes, features, sharpness, what is learnt when."""
