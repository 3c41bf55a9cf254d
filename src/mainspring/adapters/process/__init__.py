"""Steps as processes: `worker` holds the kept process, `loop` is what runs inside it.

The two talk JSON lines. Asked: {"step", "run", "state"}. Answered: {"outcome": {...}, "rss": bytes} or
{"error": {"code", "what", "fix"}, "rss": bytes}.
"""
