"""``railgun chat``: a room in a terminal, over the whole screen or line by line.

`command` has the options and opens the profile, `session` ties a room to a surface, `model` remembers what is to be
seen, `words` reads what is typed, `texts` and `qr` make lines of it; `plain` and `screen` are the two surfaces.
"""
