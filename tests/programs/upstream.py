"""The Ollama server of scripts/programs. Every model says the same sentence, in the form of the API that was called."""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ["Hello ", "from ", "the ", "model."]
SENTENCE = "".join(WORDS)
MODELS = ["tiny:latest", "other:latest"]
TIME = "2026-11-21T10:00:00Z"
DETAILS = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "1B", "quantization_level": "Q4_0"}
DONE = {"done": True, "done_reason": "stop", "total_duration": 9, "load_duration": 1, "prompt_eval_count": 3,
        "prompt_eval_duration": 1, "eval_count": 4, "eval_duration": 1}


def listed(name):
    """A model in `/api/tags`."""
    return {"name": name, "model": name, "modified_at": TIME, "size": 1000, "digest": name.encode().hex().ljust(64, "0"), "details": DETAILS}


def ollama(model, part, done):
    """A line of `/api/chat` or `/api/generate`."""
    return {"model": model, "created_at": TIME, **part, **(DONE if done else {"done": False})}


def openai_chunk(model, delta, finish=None, usage=None):
    """An event of `/v1/chat/completions`."""
    choice = [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choice}
    return {**chunk, "usage": usage} if usage else chunk


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def response(model, status, output):
    """The object of `/v1/responses`."""
    usage = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 4,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 7}
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": model, "output": output,
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage if output else None}


def response_events(model):
    """The events of `/v1/responses`, numbered as they are sent."""
    text = {"type": "output_text", "text": SENTENCE, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.created", "response": response(model, "in_progress", [])}
    yield {"type": "response.in_progress", "response": response(model, "in_progress", [])}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    yield {"type": "response.content_part.added", **at, "part": {**text, "text": ""}}
    for word in WORDS:
        yield {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": SENTENCE, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": text}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": response(model, "completed", [item])}


def message(model, content, stop):
    """The object of `/v1/messages`."""
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": stop,
            "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 4}}


def message_events(model):
    """The events of `/v1/messages`."""
    yield {"type": "message_start", "message": message(model, [], None)}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in WORDS:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 4}}
    yield {"type": "message_stop"}


class Ollama(BaseHTTPRequestHandler):
    """Answers one request after the other of a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        """Nothing: the script says what happens."""

    def whole(self, value, status=200, kind="application/json; charset=utf-8"):
        """Sends a body at once."""
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pieces(self, kind, texts):
        """Sends a body in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in [*texts, ""]:
            data = text.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def lines(self, values):
        """As Ollama streams."""
        self.pieces("application/x-ndjson", (json.dumps(value) + "\n" for value in values))

    def events(self, values, named=True, end=""):
        """As OpenAI and Anthropic stream."""
        name = (lambda value: f"event: {value['type']}\n") if named else (lambda value: "")
        texts = [f"{name(value)}data: {json.dumps(value)}\n\n" for value in values]
        self.pieces("text/event-stream", [*texts, end] if end else texts)

    def answer(self):
        """Answers a request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        path = self.path.split("?")[0]
        model, stream = body.get("model", ""), body.get("stream")
        routes = {
            "/": lambda: self.whole("Ollama is running", kind="text/plain; charset=utf-8"),
            "/api/version": lambda: self.whole({"version": "0.33.0"}),
            "/api/tags": lambda: self.whole({"models": [listed(name) for name in MODELS]}),
            "/api/ps": lambda: self.whole({"models": []}),
            "/api/show": lambda: self.whole({"modelfile": "", "parameters": "", "template": "{{ .Prompt }}", "details": DETAILS,
                "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
                "capabilities": ["completion", "tools"], "modified_at": TIME}),
            "/api/embed": lambda: self.whole({"model": model, "embeddings": [[0.5, -0.25]]}),
            "/api/embeddings": lambda: self.whole({"embedding": [0.5, -0.25]}),
            "/api/chat": lambda: self.say_ollama(model, stream, lambda text: {"message": {"role": "assistant", "content": text}}),
            "/api/generate": lambda: self.say_ollama(model, stream, lambda text: {"response": text}),
            "/v1/models": lambda: self.whole({"object": "list", "data": [
                {"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in MODELS]}),
            "/v1/chat/completions": lambda: self.say_openai(model, stream),
            "/v1/responses": lambda: self.say_responses(model, stream),
            "/v1/messages": lambda: self.say_messages(model, stream),
        }
        if path in routes:
            return routes[path]()
        if one := re.fullmatch(r"/v1/models/([^/]+)", path):
            return self.whole({"id": one[1], "object": "model", "created": 1, "owned_by": "library"})
        return self.whole("404 page not found", 404, "text/plain")

    do_GET = do_HEAD = do_POST = answer

    def say_ollama(self, model, stream, part):
        """`/api/chat` and `/api/generate`, which stream unless they are told not to."""
        if stream is False:
            return self.whole(ollama(model, part(SENTENCE), True))
        said = [ollama(model, part(word), False) for word in WORDS]
        return self.lines([*said, ollama(model, part(""), True)])

    def say_openai(self, model, stream):
        """`/v1/chat/completions`."""
        if not stream:
            said = {"role": "assistant", "content": SENTENCE}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            return self.whole({"id": "c-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice],
                               "usage": USAGE})
        said = [openai_chunk(model, {"role": "assistant", "content": word}) for word in WORDS]
        return self.events([*said, openai_chunk(model, {}, "stop", USAGE)], named=False, end="data: [DONE]\n\n")

    def say_responses(self, model, stream):
        """`/v1/responses`."""
        events = [{**event, "sequence_number": at} for at, event in enumerate(response_events(model))]
        return self.events(events) if stream else self.whole(events[-1]["response"])

    def say_messages(self, model, stream):
        """`/v1/messages`."""
        if stream:
            return self.events(message_events(model))
        return self.whole(message(model, [{"type": "text", "text": SENTENCE}], "end_turn"))


def start():
    """A server on a free port of this machine."""
    return ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
