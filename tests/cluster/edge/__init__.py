"""What clients meet first: TLS, and balancers in front."""
