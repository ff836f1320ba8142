"""PPO: the algorithm on one page (:mod:`.ppo`), and what it is made of."""
