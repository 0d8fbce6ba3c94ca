"""Speed of EDVR on this machine, and whether the machine is in order."""
