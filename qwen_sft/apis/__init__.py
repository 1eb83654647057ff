"""The shelf of chat APIs: a file is one provider's protocol, its requests, answers and streams."""
