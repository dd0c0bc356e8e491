// Questions that wait for an answer.
import { el } from "./dom.js";
import { t } from "./language.js";
import { inWords } from "./problems.js";

/** Show a dialog; resolves to what `accept()` answers, or to null where it is closed.
 *  `accept` may throw an Error whose message is shown, or answer undefined to stay open. */
export function ask({ title, content, action, danger = false, accept }) {
  return new Promise((resolve) => {
    const trouble = el("p", { class: "trouble", role: "alert" });
    const confirm = el("button", { type: "submit", class: danger ? "danger" : "main" }, action);
    const close = (value) => {
      box.close();
      box.remove();
      resolve(value);
    };
    const submit = async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      trouble.textContent = "";
      try {
        const value = await accept();
        if (value !== undefined) close(value);
      } catch (error) {
        trouble.textContent = typeof error.code === "string" ? inWords(error) : error.message;
      }
      confirm.disabled = false;
    };
    const cancel = el("button", { type: "button", onclick: () => close(null) }, t("cancel"));
    const heading = el("h2", { id: "asked" }, title);
    const form = el(
      "form",
      { onsubmit: submit },
      heading,
      content,
      trouble,
      el("div", { class: "row end" }, cancel, confirm),
    );
    const box = el("dialog", { "aria-labelledby": "asked" }, form);
    box.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    document.body.append(box);
    box.showModal();
  });
}

/** A labelled field. */
export function field(label, control, hint) {
  return el("label", { class: "field" }, el("span", null, label), control, hint && el("small", null, hint));
}

/** Ask for the key of the server; `attempt(key)` answers whether it holds. */
export function askKey(attempt) {
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  return ask({
    title: t("key.title"),
    content: [el("p", null, t("key.why")), field(t("key.field"), input)],
    action: t("key.use"),
    async accept() {
      if (await attempt(input.value.trim())) return true;
      throw new Error(t("key.wrong"));
    },
  });
}
