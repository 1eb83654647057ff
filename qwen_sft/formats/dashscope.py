"""DashScope traffic, as Alibaba Cloud's own SDK and Qwen-Agent send it: requests, answers, pairs, streams."""

from qwen_sft.reading.exchange import api_format

FORMAT = api_format("dashscope", "DashScope generation requests, answers and streams (input, parameters, output)")
