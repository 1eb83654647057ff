"""What a trainer will do with the files of a folder: facts about it, the trainer's claims, and its own preparation."""
