"""Raw agent traces in, a proven training set for Qwen models out, and a gate that stops a bad one."""

__version__ = "0.1.0"
