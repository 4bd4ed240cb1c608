// The keyboard is the terminal's as soon as the chat is there, and again after a click beside it.
addEventListener("load", () => {
  const terminal = () => document.querySelector("#terminal textarea");
  const focus = () => { terminal()?.blur(); terminal()?.focus(); };
  new MutationObserver(focus).observe(document.body, { attributeFilter: ["class"] });
  addEventListener("click", () => terminal()?.focus());
});
