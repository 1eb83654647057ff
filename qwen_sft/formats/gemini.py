"""Gemini traffic, from Google AI or Vertex: contents in parts, requests, answers, pairs, streams; tuning data too."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("gemini", "Gemini generateContent requests, answers and streams: functionCall and functionResponse")
