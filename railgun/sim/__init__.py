"""A virtual world that drives the real machines by the thousand. Knows no network, disk or real clock."""
