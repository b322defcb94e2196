"""How fast we are: each row compares our code with what was published, and with the least that the work can take."""
