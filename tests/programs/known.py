"""The programs that scripts/programs runs: how each is installed, how it is told where the gateway is and which key it has, and how
`ollama-auth exec` starts it."""

import dataclasses
import json
import pathlib
import sys
import typing


@dataclasses.dataclass
class Setting:
    """What a program is to use. `home` is an empty folder of its own."""

    url: str
    key: str
    model: str
    home: pathlib.Path
    folder: pathlib.Path

    def write(self, path, text):
        """Writes a file of its configuration."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return str(file)

    def python(self, code):
        """Runs code with the libraries of the program."""
        return [str(self.folder / "bin/python"), "-c", code, self.url, self.key, self.model]

    def node(self, code):
        """The same in Node: the modules are found from where the file lies."""
        file = self.folder / "run.mjs"
        file.write_text(code, encoding="utf-8")
        return ["node", str(file), self.url, self.key, self.model]

    def program(self, name, *args):
        """A program that was installed."""
        bins = [self.folder / "bin", self.folder / "node_modules/.bin"]
        return [str(next(folder / name for folder in bins if (folder / name).exists())), *args]


@dataclasses.dataclass
class Program:
    """A row of the table. `command` gives the command and the variables of its environment, with an address and a key; `started` gives
    those that `ollama-auth exec` starts, without. One that `asks_without_key` sends a request then, and must be refused."""

    name: str
    packages: list[str]
    command: typing.Callable[[Setting], tuple[list[str], dict[str, str]]]
    started: typing.Callable[[Setting], tuple[list[str], dict[str, str]]] | None = None
    npm: bool = False
    large: bool = False
    asks_without_key: bool = False

    @property
    def package(self):
        """The package whose version counts."""
        return self.packages[0].split("[")[0]


PYTHON = "import sys\nurl, key, model = sys.argv[1:]\n"
NODE = "const [url, key, model] = process.argv.slice(2)\n"


def library(code, npm=False):
    """A program that is a few lines of code, as the book shows them."""
    return lambda to: ((to.node(NODE + code) if npm else to.python(PYTHON + code)), {})


def llm_started(to):
    return to.program("llm", "-m", f"ollama/{to.model}", "hi"), {}


def llm(to):
    return llm_started(to)[0], {"OLLAMA_HOST": to.url, "OLLAMA_API_KEY": to.key}


def oterm_driver(to):
    """Runs it in a terminal."""
    script = str(pathlib.Path(__file__).with_name("oterm.py"))
    return [str(to.folder / "bin/python"), "-B", script, to.program("oterm")[0], to.model, str(to.home / "data")]


def oterm_started(to):
    return ["sh", "-c", 'OLLAMA_URL=$OLLAMA_HOST exec "$0" "$@"', *oterm_driver(to)], {}


def oterm(to):
    return oterm_driver(to), {"OLLAMA_URL": to.url, **({"OLLAMA_API_KEY": to.key} if to.key else {})}


def aider_with(to, model):
    """One question to that model."""
    args = ["--message", "hi", "--yes-always", "--no-git", "--no-check-update", "--no-show-model-warnings", "--no-analytics",
            "--no-browser"]
    return to.program("aider", "--model", model, *args)


def aider_started(to):
    return aider_with(to, f"ollama_chat/{to.model}"), {}


def aider(to):
    return aider_with(to, f"openai/{to.model}"), {"OPENAI_API_BASE": f"{to.url}/v1", "OPENAI_API_KEY": to.key}


def claude_started(to):
    return to.program("claude", "-p", "hi", "--model", to.model), {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "ANTHROPIC_SMALL_FAST_MODEL": to.model,
    }


def claude(to):
    command, variables = claude_started(to)
    return command, {**variables, "ANTHROPIC_BASE_URL": to.url, "ANTHROPIC_AUTH_TOKEN": to.key}


def codex_started(to):
    return to.program("codex", "exec", "--oss", "--local-provider", "ollama", "-m", to.model, "--skip-git-repo-check", "hi"), {}


def codex(to):
    to.write(".codex/config.toml", f"""model = "{to.model}"
model_provider = "gateway"

[model_providers.gateway]
name = "Our gateway"
base_url = "{to.url}/v1"
env_key = "GATEWAY_API_KEY"
wire_api = "responses"
""")
    return to.program("codex", "exec", "--skip-git-repo-check", "hi"), {"GATEWAY_API_KEY": to.key}


def opencode_started(to):
    models = {"provider": {"openai": {"models": {to.model: {}}}}}
    return to.program("opencode", "run", "-m", f"openai/{to.model}", "hi"), {"OPENCODE_CONFIG_CONTENT": json.dumps(models)}


def opencode(to):
    to.write(".config/opencode/opencode.json", {"$schema": "https://opencode.ai/config.json", "provider": {"gateway": {
        "npm": "@ai-sdk/openai-compatible", "name": "Our gateway",
        "options": {"baseURL": f"{to.url}/v1", "apiKey": "{env:GATEWAY_API_KEY}"}, "models": {to.model: {"name": to.model}}}}})
    return to.program("opencode", "run", "-m", f"gateway/{to.model}", "hi"), {"GATEWAY_API_KEY": to.key}


def qwen_started(to):
    return to.program("qwen", "--auth-type", "openai", "-m", to.model, "-p", "hi"), {}


def qwen(to):
    return to.program("qwen", "--auth-type", "openai", "-p", "hi"), {
        "OPENAI_BASE_URL": f"{to.url}/v1", "OPENAI_API_KEY": to.key, "OPENAI_MODEL": to.model,
    }


def open_webui(to):
    script = str(pathlib.Path(__file__).with_name("open_webui.py"))
    url = to.url.replace("://", f"://x:{to.key}@")
    command = [sys.executable, script, to.program("open-webui")[0], url, to.model, str(to.home)]
    # No name of a host but the gateway's: it would wait for models of its own.
    return command, {
        "DATA_DIR": str(to.home / "data"), "WEBUI_AUTH": "False", "OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1",
        "RAG_EMBEDDING_ENGINE": "ollama", "ENABLE_OPENAI_API": "False", "OLLAMA_BASE_URL": url, "WEBUI_SECRET_KEY": "x",
    }


PROGRAMS = [
    Program("Ollama (Python)", ["ollama"], library("""
import ollama
client = ollama.Client(url, headers={"Authorization": "Bearer " + key})
print(client.chat(model, [{"role": "user", "content": "hi"}]).message.content)
""")),
    Program("Ollama (JavaScript)", ["ollama"], library("""
import { Ollama } from 'ollama'
const ollama = new Ollama({ host: url, headers: { Authorization: `Bearer ${key}` } })
console.log((await ollama.chat({ model, messages: [{ role: 'user', content: 'hi' }] })).message.content)
""", npm=True), npm=True),
    Program("OpenAI (Python)", ["openai"], library("""
import openai
client = openai.OpenAI(base_url=url + "/v1", api_key=key)
print(client.responses.create(model=model, input="hi").output_text)
""")),
    Program("OpenAI (JavaScript)", ["openai"], library("""
import OpenAI from 'openai'
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
console.log((await client.responses.create({ model, input: 'hi' })).output_text)
""", npm=True), npm=True),
    Program("Anthropic (Python)", ["anthropic"], library("""
import anthropic
client = anthropic.Anthropic(base_url=url, auth_token=key)
print(client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}]).content[0].text)
""")),
    Program("Anthropic (JavaScript)", ["@anthropic-ai/sdk"], library("""
import Anthropic from '@anthropic-ai/sdk'
const client = new Anthropic({ baseURL: url, authToken: key })
const said = await client.messages.create({ model, max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
console.log(said.content[0].text)
""", npm=True), npm=True),
    Program("LangChain", ["langchain-ollama"], library("""
from langchain_ollama import ChatOllama
headers = {"Authorization": "Bearer " + key}
print(ChatOllama(model=model, base_url=url, client_kwargs={"headers": headers}).invoke("hi").content)
""")),
    Program("LlamaIndex", ["llama-index-llms-ollama"], library("""
from llama_index.llms.ollama import Ollama
print(Ollama(model=model, base_url=url, headers={"Authorization": "Bearer " + key}).complete("hi"))
""")),
    Program("LiteLLM", ["litellm"], library("""
import litellm
said = litellm.completion("ollama_chat/" + model, [{"role": "user", "content": "hi"}], api_base=url, api_key=key)
print(said.choices[0].message.content)
"""), library("""
import litellm
said = litellm.completion("ollama_chat/" + model, [{"role": "user", "content": "hi"}])
print(said.choices[0].message.content)
""")),
    Program("Pydantic AI", ["pydantic-ai-slim[openai]"], library("""
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.ollama import OllamaProvider
provider = OllamaProvider(base_url=url + "/v1", api_key=key)
print(Agent(OpenAIChatModel(model, provider=provider)).run_sync("hi").output)
""")),
    Program("AI SDK", ["ollama-ai-provider-v2", "ai", "zod"], library("""
import { generateText } from 'ai'
import { createOllama } from 'ollama-ai-provider-v2'
const ollama = createOllama({ baseURL: `${url}/api`, headers: { Authorization: `Bearer ${key}` } })
console.log((await generateText({ model: ollama(model), prompt: 'hi' })).text)
""", npm=True), npm=True),
    Program("llm", ["llm", "llm-ollama"], llm, llm_started),
    Program("oterm", ["oterm", "pyte"], oterm, oterm_started, asks_without_key=True),
    Program("aider", ["aider-chat"], aider, aider_started),
    Program("Claude Code", ["@anthropic-ai/claude-code"], claude, claude_started, npm=True),
    Program("Codex", ["@openai/codex"], codex, codex_started, npm=True),
    Program("OpenCode", ["opencode-ai"], opencode, opencode_started, npm=True),
    Program("Qwen Code", ["@qwen-code/qwen-code"], qwen, qwen_started, npm=True),
    Program("Open WebUI", ["open-webui"], open_webui, large=True),
]
