"""The shell: drives the machines on asyncio, owns tasks, configuration and logs. Decides nothing itself."""
