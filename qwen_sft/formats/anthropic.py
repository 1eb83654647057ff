"""Anthropic Messages traffic: messages in blocks, requests, answers, pairs, streams; on Bedrock and Vertex too."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("anthropic", "Anthropic Messages requests, answers and streams: tool_use and tool_result blocks")
