"""Ollama's chat traffic: requests, answers, pairs, and streams as its lines or as their text."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("ollama", "Ollama chat requests, answers and streams (message, done, done_reason)")
