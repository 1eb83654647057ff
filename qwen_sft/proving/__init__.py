"""What a template or model is held to: a battery of requests, a fingerprint, a lock, a checklist."""
