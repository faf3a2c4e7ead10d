"""How peers reach each other: WebRTC over one shared UDP port. Moves frames; knows nothing of what they mean."""
