"""Asks a model in oterm, in a terminal as a person does: a new chat, the name of the model, a message. Prints the last screen.

Runs with the Python of oterm's own environment, which has pyte beside it. Arguments: its command, the model, the folder of its data."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import sys
import termios
import time

import pyte

from upstream import SENTENCE

command, model, folder = sys.argv[1:]
COLUMNS, ROWS = 160, 50
# In seconds. The first start compiles what was installed.
LIMIT = 120
NEW_CHAT, TAB, ENTER = "\x0e", "\t", "\r"
FIELD = "Type model name"


class Terminal:
    """A program in a pseudo-terminal, and what is on its screen."""

    def __init__(self, program, environment):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.process, self.keys = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execve(program, [program], environment)

    def text(self):
        """The lines of the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, *texts):
        """Whether one of these texts is on the screen."""
        return any(text in self.text() for text in texts)

    def read(self, seconds):
        """Reads for so long what it writes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.keys], [], [], left)[0]:
            self.stream.feed(os.read(self.keys, 65536))

    def notes(self):
        """What it says in boxes at the side, without the lines that it broke it into."""
        return " ".join(line.split("▌", 1)[1].strip() for line in self.screen.display if "▌" in line)

    def wait(self, *texts, click=None):
        """Until one of these texts is on the screen. Clicks now and then on another one."""
        end = time.monotonic() + LIMIT
        while not self.shows(*texts):
            if time.monotonic() > end:
                raise TimeoutError(f"{texts} did not appear")
            if click and self.shows(click):
                self.click(click)
            self.read(1)

    def type(self, text):
        """Types."""
        os.write(self.keys, text.encode())

    def click(self, text):
        """Clicks on a text of the screen."""
        row = next(row for row, line in enumerate(self.screen.display) if text in line)
        place = f"{self.screen.display[row].index(text) + 1};{row + 1}"
        self.type(f"\x1b[<0;{place}M\x1b[<0;{place}m")

    def end(self):
        """Ends it, whatever it does."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def ask(terminal):
    """Up to the answer, or to what oterm says in its place."""
    terminal.wait("to start a new chat")
    terminal.type(NEW_CHAT)
    terminal.wait(FIELD)
    terminal.click(FIELD)
    # The keys are for the field once it is empty.
    for letter in model:
        terminal.type(letter)
        terminal.read(0.2)
    terminal.wait(model)
    terminal.type(TAB)
    # The button does nothing until oterm knows the model.
    chat = f"chat #1 - {model}"
    terminal.wait(chat, "Failed to load", click="Save")
    if not terminal.shows(chat):
        return
    terminal.read(1)
    terminal.type("hi" + ENTER)
    terminal.wait(SENTENCE, "401", "403")


data = pathlib.Path(folder)
data.mkdir(parents=True, exist_ok=True)
(data / "config.json").write_text(json.dumps({"splash-screen": False}), encoding="utf-8")
oterm = Terminal(command, {**os.environ, "TERM": "xterm-256color", "OTERM_DATA_DIR": folder})
try:
    ask(oterm)
except (TimeoutError, OSError) as error:
    print(error)
finally:
    oterm.read(1)
    print(oterm.text(), oterm.notes(), sep="\n")
    oterm.end()
