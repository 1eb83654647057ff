"""Chat templates: run in a sandbox, told apart, and what the families of serializers share."""
