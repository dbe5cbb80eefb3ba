"""Pure functions, tensors or arrays in, numbers out. Nothing here knows about methods, runs or stores."""
