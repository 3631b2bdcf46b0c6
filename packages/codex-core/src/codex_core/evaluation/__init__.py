"""Measuring language models: metrics, the runner that scores a split, baselines, and writers of metric rows."""
