// The terminal has the keyboard as soon as the chat starts, and again after a click outside it.
addEventListener("load", () => {
  const terminal = () => document.querySelector("#terminal textarea");
  const focus = () => { terminal()?.blur(); terminal()?.focus(); };
  new MutationObserver(focus).observe(document.body, { attributeFilter: ["class"] });
  addEventListener("click", () => terminal()?.focus());
});
