"""Cohere Chat (v2) traffic: messages with a tool plan, requests, answers, pairs, streams."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("cohere", "Cohere Chat v2 requests, answers and streams: tool_plan, documents as tool results")
