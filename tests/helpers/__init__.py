"""Helpers of several tests: tiny models and data, independent references, ranks, runs of the tools."""
