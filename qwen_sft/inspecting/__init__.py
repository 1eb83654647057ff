"""What is asked of samples again and again, computed once: by rules, fixes and curation alike."""
