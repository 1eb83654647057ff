"""`qwen-sft probe`: whether a running server gives the calls of a model to its clients, and takes results back."""

import inspect
import os
import sys
from typing import Annotated, Any

import typer

from qwen_sft.cli import options

EXAMPLES = """
Examples:

\b
  qwen-sft probe --base-url http://localhost:8000/v1 --model my-model
  qwen-sft probe --base-url http://localhost:8000/v1 --model my-model --against qwen3 --stream
  qwen-sft probe --base-url https://host/v1 --model m --api-key-env MY_KEY --n 50 --min-rate 0.95
"""

DEFAULT_KEY = "OPENAI_API_KEY"


@options.takes_settings(*(name for name in options.FLAGS if name not in ("chat_template_kwargs", "config")))
def probe(
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="The API with its version: http://localhost:8000/v1.")
    ],
    flags: dict[str, Any],
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="What the server calls the model [default: the only one]."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, metavar="N", help="How many conversations to hold.")] = 20,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME|DIR|HUB_ID",
            help="Compare the server's prompts with those of this model, as --model of build takes it.",
        ),
    ] = None,
    tool_choice: Annotated[
        str | None,
        typer.Option(
            "--tool-choice",
            metavar="auto,required,named",
            help="How requests name their tool [default: all, auto as often as the others together].",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Send each request a second time as a stream, and compare.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, metavar="N", help="Most tokens in one answer.")
    ] = 2048,
    min_rate: Annotated[
        float,
        typer.Option(
            "--min-rate",
            min=0,
            max=1,
            metavar="SHARE",
            help="Conversations that must be without a fault; those of the server always fail.",
        ),
    ] = 1.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Longest that one request may take.")
    ] = 120.0,
    retries: Annotated[
        int, typer.Option("--retries", min=0, metavar="N", help="Times to send a request again that failed in passing.")
    ] = 3,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help=f"Variable of the environment that holds the key [default: {DEFAULT_KEY}, if it is set].",
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--output-format", metavar="full|json", help="How to print on stdout.")
    ] = "full",
) -> None:
    """Probe a server: are calls extracted, are ids and results taken back, does the answer tell what the tool said.

    It asks an OpenAI-compatible server (vLLM, SGLang, `transformers serve`) for calls whose arguments are known, gives
    results back, and says what is wrong and with which flags to serve. It sends 2 requests for each conversation.
    """
    from qwen_sft.cli.progress import Progress
    from qwen_sft.encoding.model import load_model
    from qwen_sft.errors import ServerError, UsageError
    from qwen_sft.family import families
    from qwen_sft.probing.prompt import compare_prompts
    from qwen_sft.probing.run import Asked, Conversation, look
    from qwen_sft.probing.run import probe as run
    from qwen_sft.probing.summary import document, exit_code, summary
    from qwen_sft.probing.task import CHOICES, choices_of
    from qwen_sft.probing.wire import Client
    from qwen_sft.text.terminal import fitted, in_colour, inert, one_line, styled

    if output_format not in ("full", "json"):
        raise UsageError(f"no output format {output_format!r}; it can be full, json")
    choices = CHOICES if tool_choice is None else choices_of(tool_choice)
    kwargs = options.settings(flags).chat_template_kwargs
    name = api_key_env or DEFAULT_KEY
    key = os.environ.get(name, "").strip() or None
    if key is None and api_key_env is not None:
        raise UsageError(f"${name} is not set, and --api-key-env names it")
    client = Client(base_url, key=key, key_name=name, timeout=timeout, retries=retries)
    ours = None
    if against is not None:
        ours = load_model(against, families(), options=kwargs, thinking="as-is")
    server = look(client)
    if model is None:
        if len(server.models) != 1:
            served = ", ".join(client.quote(each) for each in server.models[:10])
            raise ServerError(
                f"which model is it? {client.base_url} serves {served}: name one with --model"
                if served
                else f"{client.base_url}/models names no model: name one with --model, and see that the URL is that of "
                "the API, which ends with /v1 as a rule"
            )
        model = server.models[0]
    asked = Asked(
        model=model,
        n=n,
        choices=choices,
        named_choices=tool_choice is not None,
        stream=stream,
        max_tokens=max_tokens,
        options=kwargs,
        wire=None if ours is None else ours.family.parser,
        reasoning_parser=None if ours is None else ours.family.reasoning_parser,
    )
    prompts = [] if ours is None else compare_prompts(client, model, ours, kwargs, max_tokens=max_tokens)
    with Progress(what="conversations", total=n) as progress:

        def each(_: Conversation) -> None:
            progress.count(1)

        outcome = run(client, server, asked, prompts, each)
    code = exit_code(outcome, min_rate)
    if output_format == "json":
        import json

        text = json.dumps(document(outcome, client.base_url, code), ensure_ascii=True, indent=2)
        sys.stdout.write(f"{text}\n")
    else:
        colour = in_colour(sys.stdout)
        for line in summary(outcome, client.base_url):
            text = inert(one_line(line.text))
            if line.style:
                word, _, rest = text.partition(" ")
                text = f"{styled(word, line.style, colour)} {rest}"
            sys.stdout.write(fitted(f"{text}\n", sys.stdout))
    raise typer.Exit(code)


probe.__doc__ = inspect.cleandoc(probe.__doc__ or "") + "\n" + EXAMPLES
