"""Why a score should be believed: what decided, and what it sounds like."""
