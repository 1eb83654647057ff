"""What a running server is held to: calls that are extracted, ids that come back, answers, prompts."""
