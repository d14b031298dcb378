"""How loops over arrays are compiled, cached and trusted."""
