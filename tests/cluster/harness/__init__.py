"""The parts of the real-cluster suite: servers, clients, probes, faults and the report."""
