// Shows the buttons that copy the new key and how to use it, where there are scripts at all.
"use strict";

const status = document.getElementById("copied");
const buttons = document.querySelectorAll("button[data-copies]");

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Over plain http there is no clipboard for scripts; the old way may do.
    select(element);
    return document.execCommand("copy");
  }
}

for (const button of buttons) {
  const element = document.getElementById(button.dataset.copies);
  button.hidden = false;
  button.addEventListener("click", async () => {
    const copied = await copy(element);
    for (const other of buttons) other.textContent = "Copy";
    button.textContent = copied ? "Copied" : "Selected";
    status.textContent = copied ? "Copied." : "The browser did not allow copying. The text is selected: copy it with the keyboard.";
  });
}
