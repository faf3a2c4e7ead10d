"""What travels: pure, stateless codecs. Knows nothing of sockets, clocks, keys held or machines."""
