"""OpenAI Chat Completions traffic: messages as most tools export them, requests, answers, pairs, streams."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format(
    "openai_chat",
    "OpenAI Chat Completions messages, requests, answers and streams; older function_call spellings",
    keeps_fields=True,
    generic=True,
)
