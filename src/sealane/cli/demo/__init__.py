"""``sealane demo``: the ordinary way and Sealane's, side by side on one simulated key, workers killed all the while."""
