"""SQLite: what survives a restart, with its secrets wrapped. Knows rows and migrations, not what they are for."""
