"""Theorem 1: SSIM rewards noise; and noise of growing strength in real maps."""
