"""Learning: PPO and its parts as pure functions on pytrees."""
