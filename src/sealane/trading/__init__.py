"""The five gates, strategies, and an executor with hard limits."""
