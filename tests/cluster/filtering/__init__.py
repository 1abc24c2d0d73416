"""Scenarios for filters: the shipped ones in front of real brokers, with real clients."""
