"""Bedrock Converse traffic: requests, answers, pairs, and streams whose events were decoded."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("bedrock", "Bedrock Converse requests, answers and streams: toolUse and toolResult blocks")
