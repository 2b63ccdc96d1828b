// Shows the button that copies the new key, where there are scripts at all.
"use strict";

const button = document.getElementById("copy");
const key = document.getElementById("key");
const status = document.getElementById("copied");

function select() {
  const range = document.createRange();
  range.selectNodeContents(key);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(key.textContent);
    return true;
  } catch {
    // Over plain http there is no clipboard for scripts; the old way may do.
    select();
    return document.execCommand("copy");
  }
}

button.hidden = false;
button.addEventListener("click", async () => {
  const copied = await copy();
  status.textContent = copied ? "Copied." : "The browser did not allow copying. The key is selected: copy it with the keyboard.";
  button.textContent = copied ? "Copied" : "Copy";
});
