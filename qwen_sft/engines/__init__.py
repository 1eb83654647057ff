"""How the pipeline runs over many records: in this process, or in several."""
