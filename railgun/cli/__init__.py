"""Commands: what a person types, and what they read back. Knows the runtime and the simulation; holds no protocol.

``main`` is the entry point, ``parser`` the grammar. Every other module holds one command or a few that belong
together: ``add_...`` describes it to the parser, a function of the same matter runs it. Whatever is slow to import is
imported by the function that needs it, so that ``railgun --help`` answers at once.
"""
