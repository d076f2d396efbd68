"""Whether what concurrent clients saw of a cluster can have happened one after the other."""
