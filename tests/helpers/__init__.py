"""What several tests share: tiny models and data, independent references, ranks, runs of the tools."""
