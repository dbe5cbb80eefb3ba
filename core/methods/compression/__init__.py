"""Compression: pruning, distillation, quantization, data set distillation."""
