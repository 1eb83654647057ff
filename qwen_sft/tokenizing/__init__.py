"""Text to ids and back, with the vocabularies that we carry and the control tokens that data may hold."""
