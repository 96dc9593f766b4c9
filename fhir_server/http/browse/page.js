"use strict";
for (const button of document.querySelectorAll("button[data-copy], button[data-fold]")) button.hidden = false;
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.fold) {
    for (const each of document.querySelectorAll(".tree details")) each.open = button.dataset.fold === "open";
  }
  if (button.dataset.copy) {
    const from = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(from);
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
    }
  }
});
for (const form of document.querySelectorAll("form[data-search]")) {
  form.addEventListener("submit", () => {
    for (const input of form.elements) if (input.name && !input.value) input.disabled = true;
  });
}
