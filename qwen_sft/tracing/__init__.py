"""Any Jinja chat template, rendered with provenance: where each character came from, and so which are trained."""
