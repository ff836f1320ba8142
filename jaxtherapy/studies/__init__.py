"""Studies of many clients and many therapists: sweeps, trainings by the hundred."""
