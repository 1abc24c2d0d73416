"""Raw commands compared: what a direct connection answers, and what Gimbal answers."""
